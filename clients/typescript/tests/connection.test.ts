// Connections that are lost, fall silent, or are ended by the server: when the client comes back, and when it does not.

import assert from "node:assert/strict";
import test from "node:test";
import { Client, Disconnected, Ended, QueueFull, Refused, TimedOut, type ClientState } from "../src/index.js";
import { Proxy } from "./support/proxy.js";
import { Server, patiently } from "./support/server.js";
import { QUICK, connect, mission } from "./support/stories.js";

/** Waits for a state. */
function become<N extends ClientState["name"]>(client: Client, name: N): Promise<Extract<ClientState, { name: N }>> {
  const reached = new Promise<Extract<ClientState, { name: N }>>((resolve) => {
    const look = (state: ClientState): void => {
      if (state.name !== name) return;
      stop();
      resolve(state as Extract<ClientState, { name: N }>);
    };
    const stop = client.onState(look);
  });
  return patiently(`the state ${name}`, reached);
}

test("calls wait for a connection, in a bounded queue, and are answered when it is there", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const proxy = await Proxy.to(server.port);
  t.after(() => proxy.close());
  const olga = await server.admin("olga");
  proxy.refuse(true);
  const client = connect(proxy, olga, { queuedCalls: 3 });
  t.after(() => client.close());
  const created = [1, 2, 3].map((n) => client.call("mission.create", { title: `mission ${n}` }));
  await assert.rejects(client.call("mission.create", { title: "mission 4" }), QueueFull);
  proxy.refuse(false);
  assert.deepEqual((await Promise.all(created)).map(({ title }) => title), ["mission 1", "mission 2", "mission 3"]);
  assert.equal((await client.call("mission.list", {})).items.length, 3);
});

test("a call that nobody answers ends in time, and its late answer disturbs nothing", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const proxy = await Proxy.to(server.port);
  t.after(() => proxy.close());
  const olga = await server.admin("olga");
  const client = connect(proxy, olga);
  t.after(() => client.close());
  await patiently("the session", client.ready());
  proxy.fallSilent();
  await assert.rejects(client.call("auth.user", {}, { timeoutMs: 50 }), TimedOut);
  proxy.cut();
  assert.equal((await client.call("auth.user", {})).username, "olga");
});

test("a connection that falls silent is noticed, and what waited on it is asked again", async (t) => {
  const server = await Server.start("--heartbeat-interval-ms", "150", "--heartbeat-timeout-ms", "900");
  t.after(() => server.remove());
  const proxy = await Proxy.to(server.port);
  t.after(() => proxy.close());
  const olga = await server.admin("olga");
  const client = connect(proxy, olga);
  t.after(() => client.close());
  await patiently("the session", client.ready());
  const lost = become(client, "waiting");
  proxy.fallSilent();
  const who = client.call("auth.user", {});
  assert.match((await lost).why.message, /nothing was heard from the server/);
  assert.equal((await patiently("the answer", who)).username, "olga");
  assert.ok(proxy.connections >= 2);
});

test("a quiet client is not dropped: it says that it is there", async (t) => {
  const server = await Server.start("--heartbeat-interval-ms", "1500", "--heartbeat-timeout-ms", "2000");
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  await patiently("the session", client.ready());
  const states: string[] = [];
  client.onState(({ name }) => states.push(name));
  await new Promise((resolve) => setTimeout(resolve, 4_500));
  assert.deepEqual(states, []);
});

test("a server that is stopped says when to come back, and is found again", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  await patiently("the session", client.ready());
  const lost = become(client, "waiting");
  await server.stop();
  const { why, retryInMs } = await lost;
  assert.ok(why instanceof Disconnected && why.code === 4000, String(why));
  assert.ok(retryInMs >= 500, `the server said 500 ms at least, and it is ${retryInMs}`);
  await server.startAgain();
  await patiently("the session", client.ready());
});

test("the waits grow up to their bound, and have a part of chance", async (t) => {
  const proxy = await Proxy.to(1);
  t.after(() => proxy.close());
  proxy.refuse(true);
  const waits: number[] = [];
  const client = new Client({
    url: proxy.url,
    token: () => "any",
    backoff: { firstMs: 4, longestMs: 32 },
    random: () => 0.5,
  });
  t.after(() => client.close());
  const enough = new Promise<void>((resolve) => {
    client.onState((state) => {
      if (state.name !== "waiting") return;
      waits.push(state.retryInMs);
      if (waits.length === 6) resolve();
    });
  });
  client.connect();
  await patiently("six tries", enough);
  assert.deepEqual(waits, [2, 4, 8, 16, 16, 16]);
});

test("who signs out is not connected again, until they sign in anew", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  await patiently("the session", client.ready());
  const ended = become(client, "ended");
  await server.call(olga, "auth.logout", {});
  assert.equal((await ended).why.code, 4501);
  await assert.rejects(client.call("auth.user", {}), Ended);
  await assert.rejects(client.ready(), Ended);

  const again = await server.post<{ access_token: string }>("/api/auth/login", {
    username: "olga",
    password: "correct horse battery",
  });
  olga.token = again.access_token;
  client.connect();
  assert.equal((await client.call("auth.user", {})).username, "olga");
});

test("a message that is too large is refused here, and the session goes on", async (t) => {
  const server = await Server.start("--message-bytes", "2048");
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  const session = await patiently("the session", client.ready());
  assert.equal(session.limits.message_bytes, 2048);
  const id = await mission(server, olga);
  const refusal = await client.call("message.send", { mission: id, text: "ö".repeat(1_000) }).catch((error) => error);
  assert.ok(refusal instanceof Refused && refusal.fault === "too_large", String(refusal));
  assert.equal((await client.call("message.list", { mission: id })).items.length, 0);
  assert.equal(client.state.name, "open");
});

test("a refusal has its code, kind and field, and nothing is changed", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  const refusal = await client.call("mission.create", { title: "" }).catch((error) => error);
  assert.ok(refusal instanceof Refused);
  assert.deepEqual([refusal.fault, refusal.kind, refusal.field, refusal.temporary], ["invalid_value", "invalid", "title", false]);
  assert.equal((await client.call("mission.list", {})).items.length, 0);
});

test("where there is no WebSocket the client says so", async () => {
  const platform = globalThis.WebSocket;
  try {
    Reflect.deleteProperty(globalThis, "WebSocket");
    const client = new Client({ url: "http://127.0.0.1:9", token: () => "any", backoff: QUICK }).connect();
    const { why } = await become(client, "ended");
    assert.match(why.message, /there is no WebSocket here/);
    assert.equal(why.reason, "unsupported");
  } finally {
    globalThis.WebSocket = platform;
  }
});

test("what is no address of a server is refused at once", () => {
  for (const url of ["", "127.0.0.1:80", "ftp://a", "http://u:p@a", "http://a?b"]) {
    assert.throws(() => new Client({ url, token: () => "any" }), /./, url);
  }
});
