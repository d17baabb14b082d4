// Refusals of the upgrade, of which a page sees the close code 1006 alone, and refusals of who comes, which it is told.

import assert from "node:assert/strict";
import test from "node:test";
import { Disconnected, Ended, Refused, type Client, type ClientState } from "../src/index.js";
import { browser } from "./support/browser.js";
import { Server, patiently } from "./support/server.js";
import { QUICK, connect } from "./support/stories.js";

type Waiting = Extract<ClientState, { name: "waiting" }>;

/** The next time that the client waits. */
function waiting(client: Client): Promise<Waiting> {
  return patiently("a wait", new Promise((resolve) => {
    const stop = client.onState((state) => {
      if (state.name !== "waiting") return;
      stop();
      resolve(state);
    });
  }));
}

/** It is taken for a lost connection, and the wait has full jitter: half of the bound, for a chance of a half. */
function isTakenForLost({ why, retryInMs }: Waiting): void {
  assert.ok(why instanceof Disconnected && why.code === 1006, String(why));
  assert.ok(retryInMs === QUICK.firstMs / 2, `${retryInMs}`);
}

/** What the server says to who wants to upgrade, in HTTP. */
async function toldInHttp(server: Server): Promise<{ status: number; name: string; retry_after_ms: number }> {
  const headers = { connection: "upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==" };
  const { request } = await import("node:http");
  return patiently("the refusal", new Promise((resolve, reject) => {
    const asking = request(`${server.url}/ws`, { headers }, (response) => {
      let body = "";
      response.on("data", (part) => (body += part));
      response.on("end", () => resolve({ status: response.statusCode, ...JSON.parse(body).error.data }));
    });
    asking.on("upgrade", () => reject(new Error("it was let in")));
    asking.on("error", reject);
    asking.end();
  }));
}

test("who finds no place among those who have yet to say who they are comes back, and gets in", async (t) => {
  const server = await Server.start("--unnamed-sockets", "1", "--open-timeout-ms", "600000");
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const silent = new WebSocket(`${server.url.replace("http", "ws")}/ws`);
  await patiently("a socket that says nothing", new Promise((resolve) => (silent.onopen = resolve)));
  const { status, name, retry_after_ms } = await toldInHttp(server);
  assert.deepEqual([status, name, retry_after_ms > 0], [503, "overloaded", true]);

  // Of that a page sees no more than of a server that is not there.
  const page = await (await browser(t)).newPage();
  const code = await page.evaluate(
    (address) => new Promise((resolve) => (new WebSocket(address).onclose = ({ code, reason }) => resolve([code, reason]))),
    `${server.url.replace("http", "ws")}/ws`,
  );
  assert.deepEqual(code, [1006, ""]);

  const client = connect(server, olga, { random: () => 0.5 });
  t.after(() => client.close());
  isTakenForLost(await waiting(client));
  silent.close();
  await patiently("the session", client.ready());
});

test("who comes with too many others comes back, and gets in", async (t) => {
  const server = await Server.start("--openings-per-second", "2", "--opening-burst", "1");
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const [first, second] = [connect(server, olga), connect(server, olga)];
  t.after(() => [first, second].forEach((client) => client.close()));
  const { why } = await Promise.race([waiting(first), waiting(second)]);
  assert.ok(why instanceof Disconnected && why.code === 1006, String(why));
  await patiently("both", Promise.all([first.ready(), second.ready()]));
});

test("who comes while the server stops waits for its next run", async (t) => {
  const server = await Server.start("--drain-ms", "600000");
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  // Over twenty: they leave in two waves, and the second is a minute away.
  const here = Array.from({ length: 24 }, () => connect(server, olga));
  t.after(() => here.forEach((client) => client.close()));
  await patiently("everyone", Promise.all(here.map((client) => client.ready())));
  const sentAway = Promise.race(here.map(waiting));
  server.tellToStop();
  const { why } = await sentAway;
  assert.ok(why instanceof Disconnected && why.code === 4000, String(why));
  const { status, name } = await toldInHttp(server);
  assert.deepEqual([status, name], [503, "server_restarting"]);

  const late = connect(server, olga, { random: () => 0.5 });
  t.after(() => late.close());
  isTakenForLost(await waiting(late));
  await server.killNine();
  await server.startAgain();
  await patiently("the session", late.ready());
});

test("a token that is not good, and a session too many, are told with their kind, for the token goes in session.open", async (t) => {
  const server = await Server.start("--sessions", "1");
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const addresses: string[] = [];
  class Watched extends WebSocket {
    constructor(address: string) {
      super(address);
      addresses.push(address);
    }
  }
  const wrong = connect(server, olga, { token: () => "not.a.token", WebSocket: Watched });
  const why = await patiently("the end", wrong.ready().catch((error: unknown) => error));
  assert.ok(why instanceof Ended && why.reason === "refused", String(why));
  assert.ok(why.cause instanceof Refused && why.cause.kind === "unauthenticated", String(why.cause));

  const first = connect(server, olga, { WebSocket: Watched });
  t.after(() => first.close());
  await patiently("the session", first.ready());
  const second = connect(server, olga, { WebSocket: Watched });
  t.after(() => second.close());
  const full = await waiting(second);
  assert.ok(full.why instanceof Refused && full.why.fault === "too_many_sessions", String(full.why));
  assert.ok(full.retryInMs >= full.why.retryAfterMs!, `${full.retryInMs}`);
  // No address has ever had a token in it.
  assert.deepEqual(new Set(addresses), new Set([`${server.url.replace("http", "ws")}/ws`]));
});
