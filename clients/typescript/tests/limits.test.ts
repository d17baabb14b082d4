// Limits of the server, met: what is over them is asked again when the server says, and nobody has to know.

import assert from "node:assert/strict";
import test from "node:test";
import { Refused, type ClientState } from "../src/index.js";
import { Server, patiently } from "./support/server.js";
import { caughtUp, connect, mission } from "./support/stories.js";

test("calls and watches over the rate are taken later, each once", async (t) => {
  const server = await Server.start("--commands-per-second", "40", "--command-burst", "20");
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const id = await mission(server, olga);
  const client = connect(server, olga);
  t.after(() => client.close());
  await patiently("the session", client.ready());
  const texts = Array.from({ length: 60 }, (_, n) => `message ${n}`);
  const watches = [client.watch(id), client.watch(id), client.watch(id)];
  const acks = await patiently("the answers", Promise.all(texts.map((text) => client.call("message.send", { mission: id, text }))));
  assert.equal(new Set(acks.map(({ id }) => id)).size, texts.length);
  for (const watch of watches) {
    const whole = await caughtUp(server, olga, watch);
    assert.deepEqual(watch.mission, whole);
    assert.equal(whole.seq, 1 + texts.length);
  }
  assert.equal(client.state.name, "open");
});

test("who has too many sessions waits for a place, and gets it", async (t) => {
  const server = await Server.start("--sessions", "1");
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const first = connect(server, olga);
  t.after(() => first.close());
  await patiently("the session", first.ready());
  const second = connect(server, olga);
  t.after(() => second.close());
  const { why } = await patiently("the refusal", new Promise<Extract<ClientState, { name: "waiting" }>>((resolve) => {
    second.onState((state) => state.name === "waiting" && resolve(state));
  }));
  assert.ok(why instanceof Refused && why.fault === "too_many_sessions", String(why));
  first.close();
  assert.equal((await patiently("the second", second.call("auth.user", {}))).username, "olga");
});
