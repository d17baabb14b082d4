// Names for commands, so that one that is sent twice is carried out once.

import { METHODS, type Method, type Methods } from "./generated.js";

/** The parameters with a fresh `idem`, where the operation takes one and none is given. */
export function guarded<M extends Method>(method: M, params: Methods[M]["params"]): Methods[M]["params"] {
  const { idem } = METHODS[method];
  return idem && !("idem" in params) ? { ...params, idem: freshIdem() } : params;
}

/** A name that nobody gave a command before: 122 random bits. */
export function freshIdem(): string {
  // randomUUID is there on pages that came over TLS alone.
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
