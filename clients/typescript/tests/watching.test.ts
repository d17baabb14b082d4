// Watches over lost connections, restarts and lost frames: always whole, never twice, and the same as on the server.

import assert from "node:assert/strict";
import test from "node:test";
import { Client, type EventFrame, type MissionWatch, type SocketLike, type WatchNews } from "../src/index.js";
import { Proxy } from "./support/proxy.js";
import { Server, patiently } from "./support/server.js";
import { QUICK, caughtUp, chance, connect, mission, something } from "./support/stories.js";

/** Notes what a watch tells of, and that every event comes once and in order. */
function heard(watch: MissionWatch): { snapshots: (string | undefined)[]; seqs: number[] } {
  const told = { snapshots: [] as (string | undefined)[], seqs: [] as number[] };
  watch.onNews(({ snapshot, events }: WatchNews) => {
    if (snapshot) told.snapshots.push(snapshot.reason);
    told.seqs.push(...(events ?? []).map((event: EventFrame) => event.seq));
  });
  return told;
}

test("a watch resumes over a kill -9 although it never got an event", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  const watch = client.watch(await mission(server, olga));
  const told = heard(watch);
  await patiently("the snapshot", watch.until(({ mission }) => mission !== undefined));
  assert.deepEqual([told.seqs, watch.position?.seq], [[], 1]);

  await server.killNine();
  await patiently("the loss", watch.until(({ state }) => state === "waiting"));
  await server.startAgain();
  await server.call(olga, "message.send", { mission: watch.id, text: "are you there?" });
  const whole = await caughtUp(server, olga, watch);

  assert.deepEqual(watch.mission, whole);
  assert.deepEqual(told.snapshots, [undefined], "it went on from where it was, without another snapshot");
  assert.deepEqual(told.seqs, [2]);
});

for (const seed of [1, 2, 3]) {
  test(`whatever people do and however often the server dies, the state is the server's (seed ${seed})`, async (t) => {
    const random = chance(seed);
    const server = await Server.start();
    t.after(() => server.remove());
    const proxy = await Proxy.to(server.port);
    t.after(() => proxy.close());
    const olga = await server.admin("olga");
    const client = connect(proxy, olga);
    t.after(() => client.close());
    const ids = [await mission(server, olga), await mission(server, olga)];
    const watches = ids.map((id) => client.watch(id));
    const told = watches.map(heard);
    for (let round = 0; round < 90; round++) {
      await something(server, olga, watches[Math.floor(random() * 2)]!.id, random);
      if (random() < 0.1) proxy.cut();
      if (round === 30 || round === 60) {
        await server.killNine();
        await server.startAgain();
      }
    }
    for (const [index, watch] of watches.entries()) {
      const whole = await caughtUp(server, olga, watch);
      assert.deepEqual(watch.mission, whole);
      const { seqs, snapshots } = told[index]!;
      assert.equal(snapshots.length, 1);
      const first = seqs[0] ?? 0;
      assert.deepEqual(seqs, seqs.map((_, place) => first + place), "every event once, in order");
      assert.equal(seqs.at(-1), whole.seq);
    }
  });
}

test("a frame that is lost on the way is noticed, and one that comes twice counts once", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const fate: { next: string } = { next: "pass" };
  /** A socket that loses or doubles the next frame with events. */
  class Unsteady extends WebSocket {
    override set onmessage(hear: SocketLike["onmessage"]) {
      super.onmessage = hear && ((event: MessageEvent) => {
        const { next } = fate;
        if (next !== "pass" && String(event.data).includes('"mission.events"')) {
          fate.next = "pass";
          if (next === "lose") return;
          hear(event);
        }
        hear(event);
      });
    }
  }
  const client = connect(server, olga, { WebSocket: Unsteady });
  t.after(() => client.close());
  const watch = client.watch(await mission(server, olga));
  const told = heard(watch);
  await patiently("the snapshot", watch.until(({ mission }) => mission !== undefined));
  const say = (text: string): Promise<unknown> => server.call(olga, "message.send", { mission: watch.id, text });

  fate.next = "double";
  await say("one");
  await say("two");
  await caughtUp(server, olga, watch);
  assert.deepEqual([fate.next, told.seqs], ["pass", [2, 3]]);

  fate.next = "lose";
  await say("three");
  // The loss shows when the next one comes.
  while (fate.next !== "pass") await new Promise((resolve) => setTimeout(resolve, 5));
  await say("four");
  const whole = await caughtUp(server, olga, watch);
  assert.deepEqual(watch.mission, whole);
  assert.deepEqual(told.seqs, [2, 3, 4, 5]);
  assert.deepEqual(told.snapshots, [undefined]);
});

test("a later run of a program goes on from what an earlier one kept", async (t) => {
  const server = await Server.start("--resume-events", "5");
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const id = await mission(server, olga);
  const say = (text: string): Promise<unknown> => server.call(olga, "message.send", { mission: id, text });
  const first = connect(server, olga);
  const earlier = first.watch(id);
  await caughtUp(server, olga, earlier);
  const kept = { epoch: earlier.position!.epoch, mission: earlier.confirmed! };
  first.close();
  assert.equal(earlier.state, "ended");

  await say("one");
  const second = connect(server, olga);
  t.after(() => second.close());
  const resumed = second.watch(id, { since: kept });
  const told = heard(resumed);
  assert.deepEqual(await caughtUp(server, olga, resumed), resumed.mission);
  assert.deepEqual([told.snapshots, told.seqs], [[], [2]]);

  for (let n = 0; n < 8; n++) await say(`more ${n}`);
  const tooLong = second.watch(id, { since: kept });
  const replaced = heard(tooLong);
  assert.deepEqual(await caughtUp(server, olga, tooLong), tooLong.mission);
  assert.deepEqual([replaced.snapshots, replaced.seqs], [["gap_too_long"], []]);

  const elsewhere = second.watch(id, { since: { ...kept, epoch: "00000000-0000-4000-8000-000000000000" } });
  const anew = heard(elsewhere);
  assert.deepEqual(await caughtUp(server, olga, elsewhere), elsewhere.mission);
  assert.deepEqual(anew.snapshots, ["epoch_changed"]);
});

test("who was far behind and wants it so is spared old log entries, and has the same mission", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const proxy = await Proxy.to(server.port);
  t.after(() => proxy.close());
  const olga = await server.admin("olga");
  const client = connect(proxy, olga);
  t.after(() => client.close());
  const id = await mission(server, olga);
  const [spared, patient] = [client.watch(id, { logs: "coalesced" }), client.watch(id)];
  const told = [heard(spared), heard(patient)] as const;
  for (const watch of [spared, patient]) await caughtUp(server, olga, watch);
  proxy.refuse(true);
  proxy.cut();
  for (let n = 0; n < 330; n++) {
    await server.call(olga, "activity.add", { mission: id, message: `line ${n}`, type: n % 40 === 7 ? "warning" : "info" });
    if (n === 100) await server.call(olga, "message.send", { mission: id, text: "in between" });
  }
  proxy.refuse(false);
  for (const watch of [spared, patient]) assert.deepEqual(await caughtUp(server, olga, watch), watch.mission);
  assert.deepEqual(told.map(({ snapshots }) => snapshots), [[undefined], [undefined]], "both went on from where they were");
  assert.deepEqual(told[1].seqs, Array.from({ length: 331 }, (_, n) => n + 2));
  assert.ok(told[0].seqs.length >= 50 && told[0].seqs.length < 200, `${told[0].seqs.length} events came`);
  assert.equal(spared.mission?.activity_count, 330);
});

test("a watch of what is not there ends and says why, and the client goes on", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  const watch = client.watch("00000000-0000-7000-8000-000000000000");
  await assert.rejects(patiently("the end", watch.until(({ mission }) => mission !== undefined)), { fault: "mission_not_found" });
  assert.equal(watch.state, "ended");
  assert.equal((await client.call("auth.user", {})).username, "olga");
});

test("a watch of a mission that is deleted ends and says why, and the others go on", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  const [doomed, other] = [client.watch(await mission(server, olga)), client.watch(await mission(server, olga))];
  await patiently("the mission", doomed.until(({ mission }) => mission !== undefined));
  await server.call(olga, "mission.delete", { mission: doomed.id });
  await assert.rejects(patiently("the end", doomed.until(() => false)), { fault: "mission_not_found" });
  await server.call(olga, "message.send", { mission: other.id, text: "life goes on" });
  assert.deepEqual(await caughtUp(server, olga, other), other.mission);
  assert.equal(client.state.name, "open");
});

test("many more watches than requests that the server takes at once", async (t) => {
  const server = await Server.start("--requests-in-flight", "6");
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const ids: string[] = [];
  for (let n = 0; n < 30; n++) ids.push(await mission(server, olga, `mission ${n}`));
  const client = new Client({ url: server.url, token: () => olga.token, backoff: QUICK });
  t.after(() => client.close());
  const watches = ids.map((id) => client.watch(id));
  const titles = ids.map((mission) => client.call("mission.get", { mission }));
  client.connect();
  await Promise.all(watches.map((watch) => caughtUp(server, olga, watch)));
  assert.deepEqual((await Promise.all(titles)).map(({ title }) => title), ids.map((_, n) => `mission ${n}`));
  assert.ok(watches.every(({ error }) => error === undefined));
});
