// Those who want to be told of something; one that throws disturbs no other.

/** A set of functions that are told. */
export class Listeners<T> {
  readonly #all = new Set<(value: T) => void>();

  /** Adds one; what is returned takes it away. */
  add(listener: (value: T) => void): () => void {
    this.#all.add(listener);
    return () => void this.#all.delete(listener);
  }

  /** Tells everyone who listened when this was called. */
  tell(value: T): void {
    for (const listener of [...this.#all]) {
      try {
        listener(value);
      } catch (error) {
        // As an event target does: the program hears of it, and the connection goes on.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
