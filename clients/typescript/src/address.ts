// Where a server's socket is.

import { FlightdeckError } from "./errors.js";

/** The address of the socket of the server at `url`, such as `https://desk.example`. */
export function socketAddress(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (error) {
    throw new FlightdeckError(`${JSON.stringify(url)} is no address of a server; give one such as https://desk.example`, {
      cause: error,
    });
  }
  const scheme = { "http:": "ws:", "https:": "wss:", "ws:": "ws:", "wss:": "wss:" }[parsed.protocol];
  if (scheme === undefined || parsed.username !== "" || parsed.search !== "" || parsed.hash !== "") {
    throw new FlightdeckError(`${JSON.stringify(url)} has to be http or https, a host, a port and a path, and no more`);
  }
  const path = parsed.pathname.replace(/\/+$/, "").replace(/\/ws$/, "");
  return `${scheme}//${parsed.host}${path}/ws`;
}
