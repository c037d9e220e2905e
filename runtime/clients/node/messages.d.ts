// Written by docs/messages.py from docs/sidecar.openrpc.json: change nothing here.

/** A conversation, whose last message is to be answered. */
export interface ChatParams {
  /** Texts that end it; null is a blank line. */
  stop?: string[] | null;
  /** 0 takes the likeliest. */
  temperature?: number | null;
  topK?: number | null;
  topP?: number | null;
  minP?: number | null;
  /** The same one gives the same text. */
  seed?: number | null;
  /** Send pieces as they are generated, too. */
  stream?: boolean;
  /** Who asks: a newer request of the same window ends the older one. */
  window?: string;
  messages: Message[];
  /** The most new tokens. */
  maxTokens?: number | null;
}

/** What is to be completed. */
export interface CompleteParams {
  /** Texts that end it; null is a blank line. */
  stop?: string[] | null;
  /** 0 takes the likeliest. */
  temperature?: number | null;
  topK?: number | null;
  topP?: number | null;
  minP?: number | null;
  /** The same one gives the same text. */
  seed?: number | null;
  /** Send pieces as they are generated, too. */
  stream?: boolean;
  /** Who asks: a newer request of the same window ends the older one. */
  window?: string;
  /** The file up to the cursor. */
  prefix: string;
  /** The file from the cursor on. */
  suffix?: string;
  /** Other open files, the most important first. */
  extra?: OpenFile[];
  /** Of the file itself, used only beside extra. */
  filename?: string;
  /** False completes the cursor's line only. */
  multiline?: boolean;
  /** The most new tokens. */
  maxTokens?: number | null;
  /** Time limit for the prompt, in ms. */
  promptMs?: number | null;
  /** Time limit for the whole request, in ms. */
  totalMs?: number | null;
}

/** More on an error. */
export interface Failure {
  /** Its name in Python: OptionError, BusyError, ReplacedError ... */
  kind: string;
}

/** What was generated. */
export interface Generated {
  text: string;
  /** stop, length, unsure, time or cancelled. */
  finish: string;
  usage: Usage;
}

/** Who is there. */
export interface InitializeParams {
  /** That the client speaks. */
  protocol?: string;
  /** Its name and version, for the log. */
  client?: string;
  /** The sidecar ends when this process does. */
  processId?: number | null;
}

/** The sidecar, and its model. */
export interface Initialized {
  protocol: string;
  version: string;
  model: Model;
}

/** A part of a conversation. */
export interface Message {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/** What the model is, and what computes it. */
export interface Model {
  name: string;
  architecture: string;
  variant: string;
  device: string;
  engine: string;
  contextTokens: number;
  weightBytes: number;
  /** Whether it sees what stands behind a cursor. */
  fills: boolean;
  /** Whether it was trained to answer messages. */
  chats: boolean;
}

/** Nothing. */
export interface NoParams {
}

/** Another file that is open. */
export interface OpenFile {
  name: string;
  text: string;
}

/** A piece of the text of a request that is streamed. */
export interface PieceOf {
  id: number | string;
  text: string;
}

/** The first message: requests are taken from now on. */
export interface Ready {
  protocol: string;
  version: string;
  pid: number;
}

/** An earlier request. */
export interface RequestParams {
  id: number | string;
}

/** Counts since the start. */
export interface Stats {
  requests: number;
  suggestions: number;
  accepted: number;
  promptTokens: number;
  reusedTokens: number;
  newTokens: number;
  running: number;
  waiting: number;
}

/** Tokens: of the prompt, of those from a cache, and new ones. */
export interface Usage {
  prompt: number;
  cached: number;
  new: number;
}

/** A cursor whose prompt is to be evaluated ahead. */
export interface WarmParams {
  /** The file up to the cursor. */
  prefix: string;
  /** The file from the cursor on. */
  suffix?: string;
  /** Other open files, the most important first. */
  extra?: OpenFile[];
  /** Of the file itself, used only beside extra. */
  filename?: string;
  /** False completes the cursor's line only. */
  multiline?: boolean;
  /** The most new tokens. */
  maxTokens?: number | null;
}
