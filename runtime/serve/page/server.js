// Requests to the server this page came from, and nothing else.

let key = "";

export function useKey(given) {
  key = given;
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Send a request; throws Refused with the server's own words. */
export async function ask(path, body, signal) {
  const headers = { "x-client-id": CLIENT };
  if (key) headers.authorization = `Bearer ${key}`;
  if (body) headers["content-type"] = "application/json";
  const method = body ? "POST" : "GET";
  const reply = await sent(path, { method, headers, body: body && JSON.stringify(body), signal });
  if (!reply.ok) throw new Refused(reply.status, await wordsOf(reply));
  return reply;
}

// Each open page is a client of its own: its newer completion ends its older one.
const CLIENT = `page-${Math.random().toString(36).slice(2)}`;

async function sent(path, request) {
  try {
    return await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "No answer from where this page came from; is the server running?");
  }
}

async function wordsOf(reply) {
  try {
    const { error } = await reply.json();
    return error.message ?? error;
  } catch {
    return `${reply.status} ${reply.statusText}`;
  }
}

/** Yield the objects of a stream of server-sent events. */
export async function* events(reply) {
  const decoder = new TextDecoder();
  let held = "";
  for await (const bytes of chunks(reply.body)) {
    held += decoder.decode(bytes, { stream: true });
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const told = JSON.parse(data);
      if (told.error) throw new Refused(told.error.code, told.error.message);
      yield told;
    }
  }
}

async function* chunks(body) {
  const reader = body.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    reader.cancel().catch(() => {});
  }
}
