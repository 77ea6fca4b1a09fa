// Bundles src/ into dist/. The terminal is a piece of its own, loaded when it is first shown.
import { copyFile } from 'node:fs/promises';
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
