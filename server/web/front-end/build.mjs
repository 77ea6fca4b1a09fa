// Bundles src/ into dist/. The terminal is a piece of its own, loaded when it is first shown.
import { copyFile, readFile, readdir, writeFile } from 'node:fs/promises';
import { brotliCompressSync } from 'node:zlib';
import * as esbuild from 'esbuild';

const common = { outdir: 'dist', bundle: true, target: 'es2022', minify: true, legalComments: 'linked', logLevel: 'warning' };

await esbuild.build({
  ...common,
  entryPoints: { app: 'src/app.ts', page: 'src/style/page.css' },
  splitting: true,
  format: 'esm',
  chunkNames: 'c-[name]-[hash]',
  assetNames: 'c-[name]-[hash]',
  loader: { '.woff2': 'file' },
});
// Runs before the first paint, so that the theme never flashes.
await esbuild.build({ ...common, entryPoints: { theme: 'src/theme.ts' }, format: 'iife' });
await copyFile('src/icon.svg', 'dist/icon.svg');
// What is text travels compressed; fonts are already.
for (const name of (await readdir('dist')).filter((name) => /\.(js|css|svg)$/.test(name))) {
  await writeFile(`dist/${name}.br`, brotliCompressSync(await readFile(`dist/${name}`)));
}
