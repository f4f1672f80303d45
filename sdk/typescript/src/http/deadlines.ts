/** How long something may take, and whether somebody has given it up meanwhile. */

/** An AbortSignal of a caller's and a time, as one signal. End it, so that neither is kept. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #abort = () => this.#controller.abort(this.outer?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hasPassed = false;

  constructor(
    readonly ms: number,
    private readonly outer?: AbortSignal,
  ) {
    outer?.addEventListener("abort", this.#abort, { once: true });
    if (outer?.aborted) this.#abort();
    this.renew();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether the time is over, and not the caller's patience. */
  get hasPassed(): boolean {
    return this.#hasPassed;
  }

  /** The time begins anew. */
  renew(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#hasPassed = true;
      this.#controller.abort();
    }, this.ms);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.outer?.removeEventListener("abort", this.#abort);
  }
}

/** Wait; rejects with the signal's reason as soon as it is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
