/** Server-sent events, read from the bytes of an answer. */

export interface Message {
  readonly id: string;
  readonly event: string;
  /** Empty for a message that only tells a number. */
  readonly data: string;
}

/** The messages of a stream; `onBytes` is told whenever something came, a sign of life included. */
export async function* messages(body: ReadableStream<Uint8Array>, onBytes: () => void): AsyncGenerator<Message, void, undefined> {
  let fields = new Map<string, string>();
  for await (const line of lines(body, onBytes)) {
    if (line === "") {
      if (fields.size) yield { id: fields.get("id") ?? "", event: fields.get("event") ?? "message", data: fields.get("data") ?? "" };
      fields = new Map();
      continue;
    }
    const [, name = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (name === "data" && fields.has("data")) fields.set("data", `${fields.get("data")}\n${value}`);
    else if (name === "data" || name === "id" || name === "event") fields.set(name, value);
  }
}

async function* lines(body: ReadableStream<Uint8Array>, onBytes: () => void): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      const parts = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?=.)/s);
      rest = parts.pop() ?? ""; // what is not ended yet; a \r at its end may be half of \r\n
      yield* parts;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
