// What the server says seldom: every close code, when to come back, and log entries that it left out. Against a scripted end.

import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { CLOSE_CODES, Client, Disconnected, Ended, QueueFull, type ClientState, type Mission } from "../src/index.js";
import { patiently } from "./support/server.js";
import { No, scripted, type Answers } from "./support/scripted.js";

const MISSION = "00000000-0000-7000-8000-00000000000a";
const EPOCH = "00000000-0000-4000-8000-000000000001";
const AGENT = { type: "agent", kind: "draft", incarnation: 1 };

/** A client whose server is `answers`, once its session is open. */
async function open(t: TestContext, answers: Answers = {}, random = 0.5) {
  const far = scripted(answers);
  const client = new Client({
    url: "http://desk.example",
    token: () => "any",
    WebSocket: far.WebSocket,
    backoff: { firstMs: 8, longestMs: 64 },
    random: () => random,
  });
  t.after(() => client.close());
  client.connect();
  await patiently("the session", client.ready());
  return { client, ends: far.ends };
}

/** The next state of the client. */
function next(client: Client): Promise<ClientState> {
  return patiently("another state", new Promise<ClientState>((resolve) => {
    const stop = client.onState((state) => {
      stop();
      resolve(state);
    });
  }));
}

for (const [code, { comeBack, reason }] of Object.entries(CLOSE_CODES)) {
  test(`close code ${code} (${reason}): the client ${comeBack ? "comes back" : "is ended"}`, async (t) => {
    const { client, ends } = await open(t);
    const after = next(client);
    ends.at(-1)!.end(Number(code));
    const state = await after;
    assert.equal(state.name, comeBack ? "waiting" : "ended");
    assert.ok("why" in state);
    assert.match(state.why.message, new RegExp(reason));
    if (comeBack) await patiently("the session", client.ready());
    assert.equal(ends.length, comeBack ? 2 : 1);
  });
}

test("codes that are not known yet are of the family that their number says", async (t) => {
  for (const [code, name] of [[4499, "waiting"], [4500, "ended"], [4999, "ended"], [1001, "waiting"], [1011, "waiting"]] as const) {
    const { client, ends } = await open(t);
    const after = next(client);
    ends.at(-1)!.end(code);
    assert.equal((await after).name, name, `${code}`);
    client.close();
  }
});

test("who is told when to come back does so then, with the part of chance that was asked for", async (t) => {
  for (const [random, expected] of [[0, 300], [0.5, 500], [0.75, 600]] as const) {
    const { client, ends } = await open(t, {}, random);
    const after = next(client);
    ends[0]!.notify("session.closing", { code: 4000, reason: "server restarting", reconnect_after_ms: 300, jitter_ms: 400 });
    ends[0]!.end(4000);
    const state = await after;
    assert.ok(state.name === "waiting" && state.why instanceof Disconnected && state.why.code === 4000);
    assert.equal(state.retryInMs, expected);
    client.close();
  }
});

test("the queue of calls is bounded in characters too, and says what it did not send", async (t) => {
  const far = scripted({ "session.open": () => undefined });
  const client = new Client({ url: "http://desk.example", token: () => "any", WebSocket: far.WebSocket, queuedCharacters: 1_000 });
  t.after(() => client.close());
  client.connect();
  const first = client.call("message.send", { mission: MISSION, text: "x".repeat(600) });
  const refused = await client.call("message.send", { mission: MISSION, text: "y".repeat(600) }).catch((error) => error);
  assert.ok(refused instanceof QueueFull, String(refused));
  assert.match(refused.message, /message\.send was not sent/);
  const small = client.call("auth.user", {});
  client.close();
  for (const call of [first, small]) await assert.rejects(call, /the client was closed/);
  assert.ok(far.ends.every((end) => end.requests.every(({ method }) => method === "session.open")));
});

/** A mission as far as the fold needs it. */
const snapshot = {
  id: MISSION, seq: 1, title: "Draft", status: "running", progress: 0, plan: [], activity: [], activity_count: 0, messages: [],
} as unknown as Mission;

const log = (seq: number): object => ({
  seq, at: "2026-01-01T00:00:00Z", by: AGENT, kind: "activity_logged", activity: `${seq}`, type: "log", message: `line ${seq}`,
});

/** A far end that lets the mission be watched. */
function watched(asked: unknown[]): Answers {
  return {
    "mission.watch": ({ sub, since, logs }) => {
      asked.push({ since, logs });
      return { mission: MISSION, sub, epoch: EPOCH, seq: 1, head: 1, resumed: since !== undefined, ...(since ? {} : { snapshot }) };
    },
    "mission.unwatch": () => ({}),
  };
}

test("log entries that were left out are counted, wherever they stood, and nothing is taken for lost", async (t) => {
  const asked: unknown[] = [];
  const { client, ends } = await open(t, watched(asked));
  const watch = client.watch(MISSION, { logs: "coalesced" });
  const heard: number[] = [];
  watch.onNews(({ events = [] }) => heard.push(...events.map(({ seq }) => seq)));
  await patiently("the mission", watch.until(({ mission }) => mission !== undefined));
  const sub = ends[0]!.requests.find(({ method }) => method === "mission.watch")!.params["sub"];
  const frame = (from: number, to: number, events: number[], skipped: [number, number][]): void => {
    const spans = skipped.map(([from, to]) => ({ from, to }));
    ends[0]!.notify("mission.events", { sub, epoch: EPOCH, from, to, events: events.map(log), ...(spans.length && { skipped: spans }) });
  };
  frame(2, 9, [4, 9], [[2, 3], [5, 8]]);
  assert.deepEqual([watch.mission?.seq, watch.mission?.activity_count, heard], [9, 8, [4, 9]]);
  frame(10, 20, [], [[10, 20]]);
  assert.deepEqual([watch.mission?.seq, watch.mission?.activity_count], [20, 19]);
  // A part of what was left out is known already: it counts once.
  frame(15, 22, [22], [[15, 21]]);
  assert.deepEqual([watch.mission?.seq, watch.mission?.activity_count, heard], [22, 21, [4, 9, 22]]);
  assert.deepEqual(watch.mission?.activity.map(({ seq }) => seq), [4, 9, 22]);
  assert.deepEqual([watch.state, asked], ["live", [{ since: undefined, logs: "coalesced" }]]);
});

test("what is neither there nor left out is missing: it is asked for, once, from where the state is", async (t) => {
  const asked: unknown[] = [];
  const { client, ends } = await open(t, watched(asked));
  const watch = client.watch(MISSION);
  await patiently("the mission", watch.until(({ mission }) => mission !== undefined));
  const sub = ends[0]!.requests.find(({ method }) => method === "mission.watch")!.params["sub"];
  ends[0]!.notify("mission.events", { sub, epoch: EPOCH, from: 2, to: 6, events: [log(2), log(6)], skipped: [{ from: 3, to: 4 }] });
  assert.deepEqual([watch.mission?.seq, watch.state], [4, "waiting"]);
  // What comes under the old name afterwards is of the watch that was given up.
  ends[0]!.notify("mission.events", { sub, epoch: EPOCH, from: 7, to: 7, events: [log(7)] });
  await patiently("the watch", watch.until(({ state }) => state === "live"));
  assert.equal(watch.mission?.seq, 4);
  assert.deepEqual(asked, [{ since: undefined, logs: undefined }, { since: { epoch: EPOCH, seq: 4 }, logs: undefined }]);
});

test("who closes a watch while it is being asked for hears nothing of what the server says to that", async (t) => {
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  // The watch is not answered before its end was asked for; the server then refuses it, for good or for now.
  for (const name of ["subscription_not_found", "overloaded"] as const) {
    const { client, ends } = await open(t, { "mission.unwatch": () => ({}), "missions.unwatch": () => ({}), "inbox.unwatch": () => ({}) });
    const troubles: unknown[] = [];
    client.onTrouble((error) => troubles.push(error));
    const watches = [client.watch(MISSION), client.watchMissions(), client.watchInbox()];
    const far = ends[0]!;
    const asked = far.requests.filter(({ method }) => method.endsWith(".watch"));
    assert.equal(asked.length, 3);
    const told: string[] = [];
    for (const watch of watches) {
      watch.subscribe(() => told.push(watch.state));
      watch.close();
      assert.ok(watch.error instanceof Ended && watch.error.reason === "closed", String(watch.error));
    }
    assert.deepEqual(far.requests.slice(-3).map(({ method, params }) => [method, params["sub"]]), asked.map(({ method, params }) => [method.replace("watch", "unwatch"), params["sub"]]));
    for (const { id } of asked) far.reply(id, { error: new No(name, 1).fault });
    const anew = client.watch(MISSION);
    const again = far.requests.at(-1)!;
    assert.ok(again.method === "mission.watch" && again.params["sub"] !== asked[0]!.params["sub"]);
    far.reply(again.id, { result: { mission: MISSION, sub: again.params["sub"], epoch: EPOCH, seq: 1, head: 1, resumed: false, snapshot } });
    assert.equal(anew.state, "live");
    // As long as a watch that was refused for now would have waited.
    await new Promise((soon) => setTimeout(soon, 20));
    assert.deepEqual([told, troubles, client.state.name, watches.map(({ state }) => state)], [Array(3).fill("ended"), [], "open", Array(3).fill("ended")]);
    assert.equal(far.requests.filter(({ method }) => method.endsWith(".watch")).length, 4);
    client.close();
  }
  assert.deepEqual(unhandled, []);
});

test("what a person does is told one request at a time, the newest of each field, and later where the server says so", async (t) => {
  const { client, ends } = await open(t, watched([]));
  const watch = client.watch(MISSION);
  watch.present({ seen_seq: 1 });
  await patiently("the mission", watch.until(({ mission }) => mission !== undefined));
  const far = ends[0]!;
  const told = () => far.requests.filter(({ method }) => method === "presence.set");
  const params = () => told().map(({ params: { mission: _, ...rest } }) => rest);
  for (let x = 0; x < 100; x++) watch.present({ cursor: { x } });
  watch.present({ typing: true });
  assert.deepEqual(params(), [{ seen_seq: 1 }]);
  far.reply(told()[0]!.id, { result: {} });
  assert.deepEqual(params().slice(1), [{ cursor: { x: 99 }, typing: true }]);
  watch.present({ typing: false });
  far.reply(told()[1]!.id, {
    error: { code: 1, message: "slow down", data: { kind: "rate_limited", name: "rate_limited", temporary: true, retry_after_ms: 20 } },
  });
  assert.equal(told().length, 2);
  while (told().length < 3) await new Promise((soon) => setTimeout(soon, 5));
  assert.deepEqual(params()[2], { cursor: { x: 99 }, typing: false }, "what was refused, and on top of it what is newer");

  // Nobody writes over a lost connection; the rest is told anew on the next.
  far.end(1006);
  await patiently("the loss", watch.until(({ state }) => state === "waiting"));
  await patiently("the watch anew", watch.until(({ state }) => state === "live"));
  const again = ends[1]!.requests.filter(({ method }) => method === "presence.set").map(({ params }) => params);
  assert.deepEqual(again, [{ mission: MISSION, seen_seq: 1, cursor: { x: 99 } }]);
});
