import type { SpawnOptions } from 'node:child_process';
import type { ChatParams, CompleteParams, Generated, Initialized, Stats, Usage, WarmParams } from './messages';

export * from './messages';

/** An error that the sidecar answers with; `kind` is its name in Python. */
export declare class SidecarError extends Error {
  readonly code: number;
  readonly kind: string;
}

export interface StartOptions {
  /** What is run: `refact-edge` by default, or the path of a frozen sidecar. */
  command?: string;
  /** More of the options of `refact-edge sidecar`. */
  args?: string[];
  /** The name and version of your program, for the log. */
  client?: string;
  spawnOptions?: SpawnOptions;
}

export interface CallOptions {
  /** Ends the request: its promise has the text so far then, with finish `cancelled`. */
  signal?: AbortSignal;
  /** Gets each piece of text as it is generated. */
  onPiece?: (text: string) => void;
}

/** What was generated, and the id by which it is accepted. */
export type Answer = Generated & { id: number };

export declare class Sidecar {
  /** Start one for a bundle, or the demo's, and wait until it is ready. */
  static start(bundle?: string, options?: StartOptions): Promise<Sidecar>;
  /** What the sidecar and its model are. */
  readonly info: Initialized;
  complete(params: CompleteParams, options?: CallOptions): Promise<Answer>;
  chat(params: ChatParams, options?: CallOptions): Promise<Answer>;
  /** Yield pieces of text; leaving the loop ends the request. */
  stream(method: 'complete', params: CompleteParams, options?: CallOptions): AsyncGenerator<string>;
  stream(method: 'chat', params: ChatParams, options?: CallOptions): AsyncGenerator<string>;
  /** Evaluate a prompt ahead, as when a file is opened. */
  warm(params: WarmParams): Promise<Usage>;
  /** Say that the user took a completion; the next prompt is prepared. */
  accept(completion: Answer): Promise<void>;
  stats(): Promise<Stats>;
  /** End the sidecar. */
  close(): Promise<void>;
}
