// A wire between client and server that a test can cut, or let fall silent.

import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export class Proxy {
  /** Connections that were made through it. */
  connections = 0;
  readonly #server: Server;
  readonly #pairs = new Set<[Socket, Socket]>();
  #refusing = false;

  private constructor(server: Server, port: number) {
    this.#server = server;
    server.on("connection", (near) => {
      this.connections += 1;
      if (this.#refusing) return void near.destroy();
      const far = connect(port, "127.0.0.1");
      const pair: [Socket, Socket] = [near, far];
      this.#pairs.add(pair);
      near.pipe(far).pipe(near);
      for (const socket of pair) {
        socket.on("error", () => this.#cut(pair));
        socket.on("close", () => this.#cut(pair));
      }
    });
  }

  /** A wire to the server on `port`. */
  static async to(port: number): Promise<Proxy> {
    const server = createServer();
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    return new Proxy(server, port);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const pair of [...this.#pairs]) this.#cut(pair);
  }

  /** What comes now is cut at once, or is no longer. */
  refuse(refusing: boolean): void {
    this.#refusing = refusing;
  }

  /** The connections stay, and nothing goes through them in either direction any more. */
  fallSilent(): void {
    for (const [near, far] of this.#pairs) {
      near.unpipe(far);
      far.unpipe(near);
      near.resume();
      far.resume();
    }
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #cut(pair: [Socket, Socket]): void {
    this.#pairs.delete(pair);
    pair.forEach((socket) => socket.destroy());
  }
}
