'use strict';
// A sidecar of refact-edge, for Node.js, Electron and the extension host of VS Code. Without
// dependencies: its messages are a line of JSON each.

const { spawn } = require('node:child_process');
const { createInterface } = require('node:readline');

/** An error that the sidecar answers with; `kind` is its name in Python. */
class SidecarError extends Error {
  constructor({ code, message, data }) {
    super(message);
    this.name = 'SidecarError';
    this.code = code;
    this.kind = data?.kind ?? '';
  }
}

class Sidecar {
  #process;
  #calls = new Map(); // by id: how to settle a request, and who wants its pieces
  #number = 0;
  #complaints = '';
  #ready;
  #ended;

  /** Start one for a bundle, and wait until it is ready. */
  static async start(bundle, options = {}) {
    const sidecar = new Sidecar(bundle, options);
    await sidecar.#ready;
    sidecar.info = await sidecar.#call('initialize', {
      client: options.client ?? `node ${process.version}`,
      processId: process.pid,
    });
    return sidecar;
  }

  constructor(bundle, { command = 'refact-edge', args = [], spawnOptions = {} } = {}) {
    const words = ['sidecar', ...(bundle ? [bundle] : []), '--lines', ...args];
    this.#process = spawn(command, words, { ...spawnOptions, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#ready = new Promise((resolve, reject) => {
      this.#calls.set('ready', { resolve, reject });
    });
    this.#ended = new Promise((resolve) => {
      this.#process.once('error', (error) => resolve(this.#end(error.message)));
      this.#process.once('close', (code, signal) => resolve(this.#end(`it ended with ${signal ?? code}`)));
    });
    this.#process.stdin.on('error', () => {}); // of a sidecar that has ended: its calls are told
    this.#process.stderr.setEncoding('utf8').on('data', (text) => {
      this.#complaints = (this.#complaints + text).slice(-2000);
    });
    createInterface({ input: this.#process.stdout, crlfDelay: Infinity }).on('line', (line) => {
      this.#take(JSON.parse(line));
    });
  }

  complete(params, options) {
    return this.#call('complete', params, options);
  }

  chat(params, options) {
    return this.#call('chat', params, options);
  }

  warm(params) {
    return this.#call('warm', params);
  }

  stats() {
    return this.#call('stats', {});
  }

  /** Say that the user took a completion, by what `complete` returned for it. */
  async accept(completion) {
    await this.#call('accept', { id: completion.id });
  }

  /** Yield pieces of a completion or an answer, as they are generated. */
  async *stream(method, params, options = {}) {
    const pieces = [];
    let wake = () => {};
    let done = false;
    const own = new AbortController();
    const abort = () => own.abort();
    if (options.signal?.aborted) abort();
    options.signal?.addEventListener('abort', abort, { once: true });
    const onPiece = (text) => {
      pieces.push(text);
      wake();
    };
    const call = this.#call(method, params, { signal: own.signal, onPiece }).finally(() => {
      done = true;
      wake();
    });
    call.catch(() => {}); // it is thrown below
    try {
      while (!done || pieces.length) {
        if (pieces.length) yield pieces.shift();
        else await new Promise((resolve) => (wake = resolve));
      }
    } finally {
      options.signal?.removeEventListener('abort', abort);
      abort();
    }
    await call;
  }

  /** End the sidecar; what is still computed is an error where it is awaited. */
  async close() {
    this.#process.stdin.end();
    await this.#ended;
  }

  #call(method, params, { signal, onPiece } = {}) {
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      const cancel = () => this.#send({ method: 'cancel', params: { id } });
      const settle = (how) => (value) => {
        signal?.removeEventListener('abort', cancel);
        this.#calls.delete(id);
        how(value);
      };
      this.#calls.set(id, { resolve: settle(resolve), reject: settle(reject), onPiece });
      this.#send({ id, method, params: onPiece ? { ...params, stream: true } : params });
      if (signal?.aborted) cancel();
      else signal?.addEventListener('abort', cancel, { once: true });
    });
  }

  #send(fields) {
    if (this.#process.exitCode !== null || !this.#process.stdin.writable) {
      queueMicrotask(() => this.#end('it has ended'));
      return;
    }
    this.#process.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...fields })}\n`);
  }

  #take(message) {
    if (message.method === 'ready') this.#calls.get('ready').resolve(message.params);
    else if (message.method === 'piece') this.#calls.get(message.params.id)?.onPiece?.(message.params.text);
    else if (message.error) this.#calls.get(message.id)?.reject(new SidecarError(message.error));
    else {
      const { id, result } = message;
      const own = result && typeof result === 'object' ? { id, ...result } : result;
      this.#calls.get(id)?.resolve(own);
    }
  }

  #end(why) {
    const said = this.#complaints.trim().split('\n').at(-1);
    const error = new SidecarError({ code: 0, message: `the sidecar is gone: ${said || why}` });
    for (const call of [...this.#calls.values()]) call.reject(error);
    this.#calls.clear();
  }
}

module.exports = { Sidecar, SidecarError };
