// Tokens that expire, callbacks that misbehave, and machines that slept through it.

import assert from "node:assert/strict";
import test from "node:test";
import { Client, Ended, SignedOut, type TokenRequest } from "../src/index.js";
import { Proxy } from "./support/proxy.js";
import { Server, patiently } from "./support/server.js";
import { QUICK, caughtUp, connect, mission } from "./support/stories.js";

/** Tokens as short-lived as a server makes them. */
const SHORT = ["--access-token-seconds", "5"];

test("the token is renewed before it expires, and the session goes on without a reconnect", async (t) => {
  const server = await Server.start(...SHORT);
  t.after(() => server.remove());
  const proxy = await Proxy.to(server.port);
  t.after(() => proxy.close());
  const olga = await server.admin("olga");
  const asked: TokenRequest["reason"][] = [];
  let renewedTwice!: () => void;
  const twice = new Promise<void>((resolve) => (renewedTwice = resolve));
  const client = connect(proxy, olga, {
    token: async ({ reason }) => {
      asked.push(reason);
      if (asked.length === 4) renewedTwice();
      return reason === "connect" ? olga.token : server.refresh(olga);
    },
  });
  t.after(() => client.close());
  const watch = client.watch(await mission(server, olga));
  const states: string[] = [];
  await patiently("the session", client.ready());
  client.onState(({ name }) => states.push(name));
  // The fourth is asked for when the first two renewals have outlived the first token.
  await patiently("three renewals", twice);
  await server.call(olga, "message.send", { mission: watch.id, text: "still there" });
  assert.deepEqual(await caughtUp(server, olga, watch), watch.mission);
  assert.deepEqual(asked, ["connect", "renew", "renew", "renew"]);
  assert.deepEqual([states, proxy.connections], [[], 1]);
});

test("a refresh callback that throws, rejects, gives nothing or never settles wedges nothing", async (t) => {
  const server = await Server.start(...SHORT);
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const misdeeds: (() => string | Promise<string>)[] = [
    () => {
      throw new Error("no network");
    },
    () => Promise.reject(new Error("the sign-in page is down")),
    () => new Promise<string>(() => undefined),
    () => undefined as unknown as string,
    () => "not a token",
  ];
  const before = [...misdeeds];
  const during = [...misdeeds];
  const troubles: string[] = [];
  const client = new Client({
    url: server.url,
    backoff: QUICK,
    tokenTimeoutMs: 100,
    token: ({ reason }) => {
      const misdeed = (reason === "renew" ? during : before).shift();
      return misdeed ? misdeed() : server.refresh(olga);
    },
  });
  t.after(() => client.close());
  client.onTrouble((error) => troubles.push(error.message));
  const first = client.call("auth.user", {});
  client.connect();
  assert.equal((await patiently("the first answer", first)).username, "olga");
  assert.deepEqual(before, []);

  const renewed = new Promise<void>((resolve) => {
    const poll = setInterval(() => {
      if (during.length > 0 || troubles.length < misdeeds.length) return;
      clearInterval(poll);
      resolve();
    }, 20);
  });
  await patiently("the renewals that fail", renewed);
  assert.equal((await client.call("auth.user", {})).username, "olga");
  assert.match(troubles[0]!, /no network/);
  assert.match(troubles[2]!, /took more than 100 ms/);
});

test("who wakes with a stale token gets a new one and comes back", async (t) => {
  const server = await Server.start(...SHORT);
  t.after(() => server.remove());
  const proxy = await Proxy.to(server.port);
  t.after(() => proxy.close());
  const olga = await server.admin("olga");
  const asked: TokenRequest[] = [];
  let asleep = true;
  const stale = olga.token;
  const client = connect(proxy, olga, {
    token: async (request) => {
      asked.push(request);
      // While it sleeps nothing is renewed.
      if (request.reason === "renew" && asleep) throw new Error("asleep");
      return request.reason === "refused" || request.reason === "expired" ? server.refresh(olga) : stale;
    },
  });
  t.after(() => client.close());
  const watch = client.watch(await mission(server, olga));
  await patiently("the mission", watch.until(({ mission }) => mission !== undefined));
  // The machine sleeps: the connection is gone, and its token runs out meanwhile.
  proxy.refuse(true);
  proxy.cut();
  await new Promise((resolve) => setTimeout(resolve, 5_500));
  asleep = false;
  await server.refresh(olga);
  await server.call(olga, "message.send", { mission: watch.id, text: "while you slept" });
  proxy.refuse(false);
  assert.deepEqual(await caughtUp(server, olga, watch), watch.mission);
  const refused = asked.find(({ reason }) => reason === "refused");
  assert.deepEqual(refused, { reason: "refused", rejected: stale });
});

test("a session whose token runs out comes back with the next", async (t) => {
  const server = await Server.start(...SHORT);
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const first = olga.token;
  let expired!: (request: TokenRequest) => void;
  const asked = new Promise<TokenRequest>((resolve) => (expired = resolve));
  const client = connect(server, olga, {
    token: async (request) => {
      if (request.reason === "renew") throw new Error("not now");
      if (request.reason === "expired") expired(request);
      return request.reason === "connect" ? olga.token : server.refresh(olga);
    },
  });
  t.after(() => client.close());
  await patiently("the session", client.ready());
  assert.deepEqual(await patiently("the end of the token", asked), { reason: "expired", rejected: first });
  assert.equal((await client.call("auth.user", {})).username, "olga");
});

test("who says that nobody is signed in any more ends the client", async () => {
  const client = new Client({
    url: "http://127.0.0.1:9",
    token: () => {
      throw new SignedOut();
    },
  });
  const waiting = client.call("auth.user", {});
  client.connect();
  await assert.rejects(waiting, Ended);
  assert.equal(client.state.name, "ended");
});
