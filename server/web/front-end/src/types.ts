// What the server sends: the shapes of server/web/src/{verdicts,workbench,progress,events}.rs and server/terminal/src/protocol.rs.

export type Outcome = 'pass' | 'fail' | 'waiting' | 'error';

export interface Evidence {
  source: string;
  object: string;
  path: string;
  want: unknown;
  got: unknown;
}

export interface Verdict {
  check: string;
  verdict: Outcome;
  since_revision: number;
  since: string;
  lost: boolean;
  reason: string | null;
  evidence: Evidence[];
  why: string[];
  look_at: string[];
}

export type Phase = { name: 'starting' } | { name: 'ready' } | { name: 'resetting' } | { name: 'failed'; what: string; why: string; next: string };

export interface Step {
  label: string;
  done: boolean;
  millis: number | null;
}

export interface ClusterNode {
  name: string;
  ready: boolean;
  cordoned: boolean;
}

export interface ClusterObject {
  uid: string;
  kind: string;
  namespace: string;
  name: string;
  owner: string | null;
  node: string | null;
  state: string;
  ready: boolean;
  terminating: boolean;
  trouble: boolean;
  restarts: number;
  labels: string[];
  selects: string[];
  panes: string[];
}

export interface Status {
  phase: Phase;
  steps: Step[];
  nodes: ClusterNode[];
  objects: ClusterObject[];
  memory: number | null;
  /** Name of the cluster when it is not ours. */
  subject: string | null;
}

export interface Given {
  value: string;
  correct: boolean | null;
  because: string | null;
}

export interface Layout {
  panes?: 'split' | 'read' | 'bench';
  lesson?: number;
  height?: number;
  picture?: number;
  pictureShown?: boolean;
  /** Open tabs, and the one in front, by chapter. */
  benches?: Record<string, { tabs: string[]; tab: string }>;
  scroll?: Record<string, number>;
  files?: string[];
  /** Where the cursor was in a file, and how far it was scrolled. */
  cursors?: Record<string, [number, number]>;
  web?: string;
}

export interface Book {
  passed: Record<string, string>;
  hints: Record<string, number>;
  answers: Record<string, Given>;
  solutions: string[];
  runs: string[];
  begun: string[];
  scene: string | null;
  /** Chapters that were left and can be gone back to. */
  scenes: string[];
  place: string | null;
  layout: Layout | null;
}

export interface Changed {
  verb: string;
  what: string;
  kind: string;
  owned: boolean;
}

export interface Restored {
  name: string;
  action: string;
  line: string | null;
  summary: string;
  changes: Changed[];
  files: Changed[];
  notes: string[];
  millis: number;
}

export interface Visit {
  pane: string;
  path: string;
  status: number;
  reason: string;
  headers: [string, string][];
}

export type ServerEvent =
  | { type: 'hello'; server: string; verdicts: Verdict[]; status: Status; progress: Book }
  | { type: 'verdict'; verdict: Verdict }
  | { type: 'status'; status: Status }
  | { type: 'progress'; progress: Book }
  | { type: 'restored'; restored: Restored }
  | { type: 'visit'; visit: Visit }
  | { type: 'trouble'; why: string | null };

export type Mode =
  | { mode: 'starting'; why: string | null }
  | { mode: 'prompt' }
  | { mode: 'busy'; program: string; line: string }
  | { mode: 'unmarked' }
  | { mode: 'ended'; why: string | null };

export type RunPhase = { phase: 'running' } | { phase: 'finished'; exit: number | null } | { phase: 'halted'; exit: number; failed: number; of: number; command: string } | { phase: 'stopped' };

export type FromTerminal =
  | { type: 'snapshot'; cols: number; rows: number }
  | { type: 'size'; cols: number; rows: number }
  | ({ type: 'state' } & Mode)
  | { type: 'title'; title: string }
  | ({ type: 'run'; id: string } & RunPhase)
  | { type: 'refused'; why: string };
