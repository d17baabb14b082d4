// Optimistic commands: seen at once, confirmed by what happens, taken back when refused, and carried out once.

import assert from "node:assert/strict";
import test from "node:test";
import { Refused, moveStep, pause, sendMessage, updateStep, type MissionWatch, type SocketLike } from "../src/index.js";
import { Server, patiently } from "./support/server.js";
import { caughtUp, connect, mission } from "./support/stories.js";

/** Notes the texts of the messages whenever they change. */
function texts(watch: MissionWatch): string[][] {
  const seen: string[][] = [];
  watch.subscribe(() => {
    const now = watch.mission?.messages.map(({ text }) => text) ?? [];
    if (JSON.stringify(now) !== JSON.stringify(seen.at(-1))) seen.push(now);
  });
  return seen;
}

test("a message is seen at once, and never twice", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  const watch = client.watch(await mission(server, olga));
  await patiently("the mission", watch.until(({ mission }) => mission !== undefined));
  const seen = texts(watch);
  const sent = sendMessage(watch, "hello");
  assert.deepEqual(watch.mission?.messages.map(({ text }) => text), ["hello"], "before the server has heard of it");
  assert.deepEqual(watch.confirmed?.messages, []);
  const expected = watch.mission?.messages[0];
  assert.deepEqual(expected?.by, { type: "person", id: olga.person.id, name: "olga" });
  await Promise.all([sent, sendMessage(watch, "is anybody there?")]);
  const whole = await caughtUp(server, olga, watch);
  await patiently("the events", watch.until(({ mission, confirmed }) => mission === confirmed));
  assert.deepEqual(watch.mission, whole);
  assert.deepEqual(seen, [["hello"], ["hello", "is anybody there?"]]);
});

test("what the server refuses is taken back", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  const watch = client.watch(await mission(server, olga));
  await patiently("the mission", watch.until(({ mission }) => mission !== undefined));
  const held = pause(watch);
  assert.equal(watch.mission?.status, "paused");
  const refusal = await held.catch((error) => error);
  assert.ok(refusal instanceof Refused && refusal.fault === "illegal_transition", String(refusal));
  assert.equal(watch.mission?.status, "pending");
  assert.equal(watch.mission, watch.confirmed);
});

test("commands on top of each other and of other people's look as they will be", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const id = await mission(server, olga);
  const steps: string[] = [];
  for (const title of ["one", "two", "three"]) steps.push((await server.call(olga, "step.add", { mission: id, title })).id!);
  const client = connect(server, olga);
  t.after(() => client.close());
  const watch = client.watch(id);
  await patiently("the mission", watch.until(({ mission }) => mission !== undefined));
  const plan = (): string[] => watch.mission!.plan.map(({ title, status }) => `${title} ${status}`);
  const all = [
    updateStep(watch, steps[2]!, { status: "completed" }),
    moveStep(watch, steps[2]!, 0),
    updateStep(watch, steps[0]!, { title: "uno" }),
  ];
  assert.deepEqual(plan(), ["three completed", "uno pending", "two pending"]);
  assert.equal(watch.mission?.progress, 33);
  await server.call(olga, "step.remove", { mission: id, step: steps[1]! });
  await Promise.all(all);
  const whole = await caughtUp(server, olga, watch);
  await patiently("the events", watch.until(({ mission, confirmed }) => mission === confirmed));
  assert.deepEqual(watch.mission, whole);
  assert.deepEqual(plan(), ["three completed", "uno pending"]);
});

test("a command whose answer was lost is carried out once, and seen all the while", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  let losing = false;
  /** A socket that breaks when the answer to a command comes. */
  class Breaking extends WebSocket {
    override set onmessage(hear: SocketLike["onmessage"]) {
      super.onmessage = hear && ((event: MessageEvent) => {
        if (losing && String(event.data).includes('"command"')) {
          losing = false;
          this.close();
          return;
        }
        hear(event);
      });
    }
  }
  const client = connect(server, olga, { WebSocket: Breaking });
  t.after(() => client.close());
  const watch = client.watch(await mission(server, olga));
  await patiently("the mission", watch.until(({ mission }) => mission !== undefined));
  const seen = texts(watch);
  losing = true;
  const ack = await patiently("the answer", sendMessage(watch, "once"));
  assert.equal(losing, false);
  const whole = await caughtUp(server, olga, watch);
  await patiently("the event", watch.until(({ mission, confirmed }) => mission === confirmed));
  assert.deepEqual(watch.mission, whole);
  assert.deepEqual(whole.messages.map(({ text, id }) => [text, id]), [["once", ack.id]]);
  assert.deepEqual(seen, [["once"]]);
});

test("who wants nothing to have changed is told what did", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  const watch = client.watch(await mission(server, olga));
  await patiently("the mission", watch.until(({ mission }) => mission !== undefined));
  await watch.command("mission.update", { title: "Mine" }, { unlessChanged: true });
  await caughtUp(server, olga, watch);
  const before = watch.position!.seq;
  const both = await Promise.allSettled([
    watch.command("mission.update", { title: "First" }, { unlessChanged: true }),
    watch.command("mission.update", { title: "Second" }, { unlessChanged: true }),
  ]);
  assert.equal(both[0].status, "fulfilled");
  const refusal = (both[1] as PromiseRejectedResult).reason;
  assert.ok(refusal instanceof Refused && refusal.fault === "seq_conflict", String(refusal));
  assert.equal(refusal.conflict?.complete, true);
  assert.deepEqual(refusal.conflict?.changes.map(({ seq, kind }) => [seq, kind]), [[before + 1, "mission_updated"]]);
  await caughtUp(server, olga, watch);
  assert.equal(watch.mission?.title, "First");
});
