// When a client gives up, and what it says then: refusals that would only be repeated. Against a scripted end.

import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { Client, Ended, QueueFull, Refused, SignedOut, type ClientState, type TokenRequest } from "../src/index.js";
import { patiently } from "./support/server.js";
import { No, OPENED, scripted, type Answers } from "./support/scripted.js";

/** A client of a server that answers so, and what becomes of it. */
function start(t: TestContext, answers: Answers, token: (request: TokenRequest) => string = () => "any") {
  const far = scripted(answers);
  const states: ClientState[] = [];
  const client = new Client({
    url: "http://desk.example", token, WebSocket: far.WebSocket, backoff: { firstMs: 2, longestMs: 8 }, random: () => 0.5,
  });
  t.after(() => client.close());
  client.onState((state) => states.push(state));
  return { client, ends: far.ends, states, ended: () => patiently("the end", end(client)) };
}

function end(client: Client): Promise<Ended> {
  return new Promise((resolve) => client.onState((state) => state.name === "ended" && resolve(state.why)));
}

test("a token that is never taken is exchanged five times, and then the client ends and says why", async (t) => {
  const asked: TokenRequest[] = [];
  const answers = { "session.open": () => new No("token_expired") };
  const { client, ends, ended } = start(t, answers, (request) => `token ${asked.push(request)}`);
  const end = ended();
  const call = assert.rejects(client.call("auth.user", {}), Ended);
  const watch = client.watch("00000000-0000-7000-8000-00000000000a");
  client.connect();
  const why = await end;
  assert.deepEqual([why.reason, why.code], ["refused", undefined]);
  assert.ok(why.cause instanceof Refused && why.cause.fault === "token_expired", String(why.cause));
  assert.deepEqual(asked.map(({ reason }) => reason), ["connect", ...Array(5).fill("refused")]);
  assert.deepEqual(asked.map(({ rejected }) => rejected), [undefined, ...[1, 2, 3, 4, 5].map((n) => `token ${n}`)]);
  assert.equal(ends.length, 6);
  await call;
  await assert.rejects(client.ready(), Ended);
  assert.equal(client.state.name, "ended");
  assert.equal(watch.state, "waiting", "it stands until it is closed, for who connects anew");
});

test("who was let in between has as many tries again", async (t) => {
  const refusals = [true, true, true, true, true, false, true, true, true, true, true, false];
  const answers = { "session.open": () => (refusals.shift() ? new No("token_expired") : OPENED) };
  const { client, ends, states } = start(t, answers);
  client.connect();
  await patiently("the session", client.ready());
  ends.at(-1)!.end(4001);
  assert.equal(client.state.name, "open", "the client has not noticed yet");
  await patiently("the loss", new Promise<void>((resolve) => client.onState(({ name }) => name === "waiting" && resolve())));
  await patiently("the session", client.ready());
  assert.deepEqual([ends.length, states.some(({ name }) => name === "ended")], [12, false]);
});

test("a refusal that does not pass ends the client at once, and one that passes does not", async (t) => {
  const final = start(t, { "session.open": () => new No("forbidden") });
  const end = final.ended();
  final.client.connect();
  const why = await end;
  assert.ok(why.reason === "refused" && why.cause instanceof Refused && why.cause.fault === "forbidden", String(why));
  assert.equal(final.ends.length, 1);

  let busy = 7;
  const passing = start(t, { "session.open": () => (busy-- > 0 ? new No("overloaded", 4) : OPENED) });
  passing.client.connect();
  await patiently("the session", passing.client.ready());
  const waits = passing.states.flatMap((state) => (state.name === "waiting" ? [state.retryInMs] : []));
  // Never before the time that was said, and with a part of chance: others were told the same.
  assert.deepEqual(waits, [6, 6, 6, 6, 6, 6, 6]);
});

test("a server that speaks another protocol is not asked again", async (t) => {
  const { client, ends, ended } = start(t, { "session.open": () => ({ ...OPENED, profile: "flightdeck.v9" }) });
  const end = ended();
  client.connect();
  const why = await end;
  assert.deepEqual([why.reason, ends.length], ["unsupported", 1]);
  assert.match(why.message, /speaks flightdeck\.v9/);
});

test("a final close code ends the client also while the session is being opened", async (t) => {
  const { client, ends, ended } = start(t, { "session.open": (_, far) => far.end(4500) });
  const end = ended();
  client.connect();
  const why = await end;
  assert.deepEqual([why.reason, why.code, ends.length], ["dismissed", 4500, 1]);
});

test("each end says what it was, and after any of them the client begins anew", async (t) => {
  let signedIn = true;
  const token = (): string => {
    if (!signedIn) throw new SignedOut();
    return "any";
  };
  const { client, ends, ended } = start(t, {}, token);
  for (const [way, reason] of [
    [() => ends.at(-1)!.end(4501), "dismissed"],
    [() => client.close(), "closed"],
    [() => ((signedIn = false), ends.at(-1)!.end(4001)), "signed_out"],
  ] as const) {
    client.connect();
    await patiently("the session", client.ready());
    const end = ended();
    way();
    assert.equal((await end).reason, reason);
    await assert.rejects(client.call("auth.user", {}), Ended);
  }
});

test("who closes the client while it connects is not connected afterwards", async (t) => {
  const { client, ends, states } = start(t, { "session.open": () => undefined });
  client.connect();
  while (!ends[0]?.requests.some(({ method }) => method === "session.open")) await new Promise((soon) => setTimeout(soon, 1));
  client.close();
  assert.equal(ends[0].closed, true, "the socket is let go of at once");
  ends[0].reply(ends[0].requests[0]!.id, { result: OPENED });
  await new Promise(setImmediate);
  assert.deepEqual(states.map(({ name }) => name), ["connecting", "ended"]);
  assert.equal(client.state.name, "ended");
});

test("calls that the server has no room for wait in the same bound; more than fit are told what it said", async (t) => {
  const far = scripted({ "session.open": () => OPENED });
  const client = new Client({ url: "http://desk.example", token: () => "any", WebSocket: far.WebSocket, queuedCalls: 3 });
  t.after(() => client.close());
  client.connect();
  await patiently("the session", client.ready());
  const calls: Promise<unknown>[] = [];
  for (let n = 0; n < 5; n++) calls.push(client.call("auth.user", {}).then(() => "answered", (error: unknown) => error));
  const asked = far.ends[0]!.requests.filter(({ method }) => method === "auth.user");
  assert.equal(asked.length, 5);
  const { fault } = new No("overloaded", 3_600_000);
  for (const { id } of asked) far.ends[0]!.reply(id, { error: fault });
  for (const told of await patiently("the answers to the last two", Promise.all(calls.slice(3)))) {
    assert.ok(told instanceof Refused && told.fault === "overloaded" && told.retryAfterMs === 3_600_000, String(told));
  }
  await assert.rejects(client.call("auth.user", {}), QueueFull);
  assert.equal(far.ends[0]!.requests.filter(({ method }) => method === "auth.user").length, 5, "nothing was sent again");
  client.close();
  for (const told of await Promise.all(calls.slice(0, 3))) assert.ok(told instanceof Ended, String(told));
});
