// A server of the real binary, on a port and a folder of its own: started, killed with -9, and started again.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync, openSync, closeSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Methods, Person, SignedIn } from "../../src/index.js";

/** The root of the package: this file is in dist/tests/support when it runs. */
export const PACKAGE = resolve(import.meta.dirname, "../../..");
const PASSWORD = "correct horse battery";
/** How long anything may take before a test gives up. */
const PATIENCE_MS = 60_000;

/** What every agent's script begins with. */
const PRELUDE = `import json, sys

def say(**line):
    print(json.dumps(line), flush=True)

def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else sys.exit(0)

start = hear()
`;

/** The program of the server. */
export function binary(): string {
  const given = process.env["FLIGHTDECK_BIN"];
  const path = given ? resolve(given) : resolve(PACKAGE, "../../target/debug/flightdeck");
  if (!existsSync(path)) {
    throw new Error(`${path} is not there: build the server (cargo build), or name it in FLIGHTDECK_BIN`);
  }
  return path;
}

/** Somebody who is signed in. */
export interface Member {
  person: Person;
  token: string;
  refresh: string;
}

export class Server {
  readonly home = mkdtempSync(join(tmpdir(), "flightdeck-client-"));
  readonly port: number;
  readonly #flags: string[];
  #child: ChildProcess | undefined;

  private constructor(port: number, flags: string[]) {
    this.port = port;
    this.#flags = flags;
  }

  /** A server with more flags. It keeps its port over restarts. */
  static start(...flags: string[]): Promise<Server> {
    return Server.withAgents({}, ...flags);
  }

  /** A server with agents: each a script in Python that goes on after its start line was read. */
  static async withAgents(agents: Record<string, string>, ...flags: string[]): Promise<Server> {
    const server = new Server(await freePort(), flags);
    for (const [name, body] of Object.entries(agents)) {
      const script = join(server.home, `${name}.py`);
      writeFileSync(script, PRELUDE + body);
      server.#flags.push("--agent", `${name}=python3 -S ${script}`);
    }
    await server.startAgain();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async startAgain(): Promise<void> {
    const log = openSync(join(this.home, "server.log"), "a");
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith("FLIGHTDECK_"));
    const child = spawn(
      binary(),
      ["serve", "--listen", `127.0.0.1:${this.port}`, "--data-dir", join(this.home, "data"), ...this.#flags],
      { cwd: this.home, env: Object.fromEntries(own), stdio: ["ignore", "pipe", log] },
    );
    closeSync(log);
    this.#child = child;
    const lines = createInterface({ input: child.stdout! });
    await patiently("the server's start", new Promise<void>((listening, failed) => {
      lines.on("line", (line) => line.startsWith("flightdeck listening on ") && listening());
      child.once("exit", () => failed(new Error(`the server ended before it listened:\n${this.log().slice(-4000)}`)));
    }));
  }

  /** Kills it with -9 and waits until it is gone. */
  async killNine(): Promise<void> {
    await this.#signal("SIGKILL");
  }

  /** Tells it to stop, and does not wait for that. */
  tellToStop(): void {
    this.#child!.kill("SIGTERM");
  }

  /** Stops it in order. */
  async stop(): Promise<void> {
    await this.#signal("SIGTERM");
  }

  /** Ends it and removes what it left. */
  async remove(): Promise<void> {
    if (this.#child?.exitCode === null && this.#child.signalCode === null) await this.killNine();
    rmSync(this.home, { recursive: true, force: true });
  }

  log(): string {
    return readFileSync(join(this.home, "server.log"), "utf8");
  }

  /** Somebody signs up, and is the admin of a new organization. */
  async admin(username: string): Promise<Member> {
    return member(await this.post("/api/auth/signup", { username, password: PASSWORD }));
  }

  /** `admin` makes an account for somebody, who signs in. */
  async member(admin: Member, role: Person["role"], username: string): Promise<Member> {
    await this.post("/api/users", { username, password: PASSWORD, role }, admin);
    return member(await this.post("/api/auth/login", { username, password: PASSWORD }));
  }

  /** A new pair of tokens for somebody. */
  async refresh(who: Member): Promise<string> {
    const pair = await this.post<SignedIn>("/api/auth/refresh", { refresh_token: who.refresh });
    [who.token, who.refresh] = [pair.access_token, pair.refresh_token];
    return who.token;
  }

  /** Calls an operation, apart from any client. */
  async call<M extends keyof Methods>(who: Member, method: M, params: Methods[M]["params"]): Promise<Methods[M]["result"]> {
    const request = { jsonrpc: "2.0", id: 1, method, params };
    const answer = await this.post<{ result?: Methods[M]["result"]; error?: unknown }>("/api/rpc", request, who);
    if (answer.error !== undefined) throw new Error(`${method}: ${JSON.stringify(answer.error)}`);
    return answer.result as Methods[M]["result"];
  }

  async post<T>(path: string, body: unknown, who?: Member): Promise<T> {
    const headers = { "content-type": "application/json", ...(who && { authorization: `Bearer ${who.token}` }) };
    const response = await fetch(this.url + path, { method: "POST", headers, body: JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer as T;
  }

  async #signal(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child!;
    const gone = once(child, "exit");
    child.kill(signal);
    await patiently("the server's end", gone);
  }
}

function member(signed: SignedIn): Member {
  return { person: signed.user, token: signed.access_token, refresh: signed.refresh_token };
}

/** What `promise` gives; a failure when it takes for ever. */
export async function patiently<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not happen within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A free port below those that the system gives to outgoing connections, so that none of them takes it meanwhile. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}
