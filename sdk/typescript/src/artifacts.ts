/** `client.artifacts`: files for tasks to read, and those they made. */

import { ANSWER_MS, type Asked, type Content, type Transport } from "./http/transport.js";
import { idOf, pathOf, read, type Schemas } from "./reading.js";
import type { Artifact, Task } from "./results.js";
import { newId } from "./submissions.js";

/** Told of the bytes so far, and of all; null: not known. */
export type Progress = (done: number, size: number | null) => void;
export type ArtifactId = string | Artifact;
type View = Schemas["ArtifactView"];

export interface Upload extends Asked {
  /** The file's name; unless given that of a `File`, or else "file". */
  readonly name?: string | undefined;
  /** Unless given that of the `Blob`. */
  readonly mediaType?: string | undefined;
  readonly progress?: Progress | undefined;
}

export interface Download extends Asked {
  /** Where the content goes piece by piece, as for what is larger than memory; it is closed at the end. */
  readonly to?: WritableStream<Uint8Array> | undefined;
  readonly progress?: Progress | undefined;
}

const UPLOAD_MS = 120_000;
const SLOWEST_BYTES_A_MS = 20;

/** How long an upload of so many bytes may take: fetch tells nothing of one that goes on. */
function uploadMs(bytes: number): number {
  return UPLOAD_MS + Math.ceil(bytes / SLOWEST_BYTES_A_MS);
}

export class Artifacts {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Store a file: a `Blob` or `File`, such as `openAsBlob(path)` of node:fs makes one of a file, bytes, or text.
   * `progress` begins again when a broken upload is repeated; browsers tell the end only.
   */
  async upload(source: Blob | Uint8Array | string, upload: Upload = {}): Promise<Artifact> {
    const { name, mediaType, progress, signal } = upload;
    const given = source instanceof Blob ? source : new Blob([source as BlobPart]);
    const type = mediaType ?? (given.type || "application/octet-stream");
    const blob = given.type === type ? given : given.slice(0, given.size, type);
    const form = new FormData();
    form.set("file", blob, name ?? (source as Partial<File>).name ?? "file");
    const content = progress && isNode() ? () => told(form, blob.size, progress) : () => ({ body: form });
    const { data } = await this.#transport.answer({
      method: "POST", path: "/artifacts", content, idempotencyKey: newId(), timeoutMs: uploadMs(blob.size), signal,
    });
    progress?.(blob.size, blob.size);
    return read<View>(data);
  }

  /** Read a file: the content, or nothing when it went `to` somewhere. */
  async download(artifact: ArtifactId, download: Download = {}): Promise<Uint8Array> {
    const path = pathOf("artifacts", idOf(artifact), "content");
    const { answer, failure, renew, end } = await this.#transport.open({
      method: "GET", path, headers: { Accept: "*/*" }, timeoutMs: ANSWER_MS, signal: download.signal,
    });
    const size = answer.headers.has("content-encoding") ? null : Number(answer.headers.get("content-length")) || null;
    const watched = counted((answer.body ?? new Blob([]).stream()) as ReadableStream<Uint8Array>, (done) => {
      renew();
      download.progress?.(done, size);
    });
    try {
      if (!download.to) return new Uint8Array(await new Response(watched).arrayBuffer());
      await watched.pipeTo(download.to);
      return new Uint8Array();
    } catch (error) {
      throw failure(error);
    } finally {
      end();
    }
  }

  /** Read about a file. Throws NotFound. */
  async get(artifact: ArtifactId, asked: Asked = {}): Promise<Artifact> {
    const { data } = await this.#transport.answer({ method: "GET", path: pathOf("artifacts", idOf(artifact)), ...asked });
    return read<View>(data);
  }

  /** All, or those that a task made, newest first, read page by page. */
  async *list(filters: Asked & { readonly task?: string | Task | undefined } = {}): AsyncGenerator<Artifact, void, undefined> {
    const query = { task_id: filters.task && idOf(filters.task) };
    for await (const each of this.#transport.listed("/artifacts", query, { signal: filters.signal })) yield read<View>(each);
  }

  /** Delete a file. */
  async delete(artifact: ArtifactId, asked: Asked = {}): Promise<void> {
    await this.#transport.answer({ method: "DELETE", path: pathOf("artifacts", idOf(artifact)), ...asked });
  }
}

/** A form as a stream that is watched: of its bytes, those around the file are few. */
function told(form: FormData, size: number, progress: Progress): Content {
  const encoded = new Response(form);
  const type = encoded.headers.get("content-type") ?? "";
  const body = counted(encoded.body as ReadableStream<Uint8Array>, (done) => progress(Math.min(done, size), size));
  return { body, headers: { "Content-Type": type } };
}

function counted(bytes: ReadableStream<Uint8Array>, tell: (done: number) => void): ReadableStream<Uint8Array> {
  let done = 0;
  return bytes.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, out) {
        done += piece.length;
        tell(done);
        out.enqueue(piece);
      },
    }),
  );
}

/** Whether bodies can be streams: in browsers they cannot, or over HTTP/2 only. */
function isNode(): boolean {
  return typeof process !== "undefined" && Boolean(process.versions?.node);
}
