// Rights that change while people watch: what they may no longer see ends and says why, and nothing more is heard of it.

import assert from "node:assert/strict";
import test from "node:test";
import { Ended, Refused, SignIn, SignedOut, type Client } from "../src/index.js";
import { Server, patiently } from "./support/server.js";
import { caughtUp, connect, mission } from "./support/stories.js";

/** The client's end. */
function end(client: Client): Promise<Ended> {
  return patiently("the end", client.ready().then(
    () => new Promise<Ended>((resolve) => {
      client.onState((state) => state.name === "ended" && resolve(state.why));
    }),
  ));
}

test("an account that is closed ends its clients, and opens again for who signs in anew", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const vera = await server.member(olga, "viewer", "vera");
  const id = await mission(server, olga);
  const client = connect(server, vera);
  t.after(() => client.close());
  const watch = client.watch(id);
  assert.deepEqual(await caughtUp(server, olga, watch), watch.mission);
  const before = watch.position?.seq;
  const ended = end(client);
  await server.call(olga, "user.update", { user: vera.person.id, active: false });
  assert.equal((await ended).code, 4501);
  await server.call(olga, "message.send", { mission: id, text: "not for vera" });
  await assert.rejects(client.call("auth.user", {}), Ended);
  assert.equal(watch.position?.seq, before);
  await assert.rejects(SignIn.withPassword(server.url, "vera", "correct horse battery"), Refused);

  await server.call(olga, "user.update", { user: vera.person.id, active: true });
  const signIn = await SignIn.withPassword(server.url, "vera", "correct horse battery");
  const again = connect(server, vera, { token: signIn.token });
  t.after(() => again.close());
  const anew = again.watch(id);
  assert.deepEqual(await caughtUp(server, olga, anew), anew.mission);
  assert.equal(anew.mission?.messages[0]?.text, "not for vera");
});

test("another role holds at once, for calls and for what is shown of it", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const vera = await server.member(olga, "viewer", "vera");
  const id = await mission(server, olga);
  const client = connect(server, vera);
  t.after(() => client.close());
  const watch = client.watch(id);
  await caughtUp(server, olga, watch);
  const send = (text: string) => client.call("message.send", { mission: id, text });
  await assert.rejects(send("too early"), { fault: "forbidden" });
  await server.call(olga, "user.update", { user: vera.person.id, role: "approver" });
  await send("now");
  await server.call(olga, "user.update", { user: vera.person.id, role: "viewer" });
  await assert.rejects(send("too late"), { fault: "forbidden" });
  const whole = await caughtUp(server, olga, watch);
  assert.deepEqual(whole.messages.map(({ text }) => text), ["now"]);
  assert.deepEqual(watch.mission, whole);
});

test("an admin sees every session, and who watches what", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const vera = await server.member(olga, "viewer", "vera");
  const id = await mission(server, olga);
  const [admin, viewer] = [connect(server, olga), connect(server, vera)];
  t.after(() => [admin, viewer].forEach((client) => client.close()));
  await caughtUp(server, olga, viewer.watch(id));
  const { items } = await admin.call("session.list", {});
  assert.deepEqual(items.map(({ name, watches }) => [name, watches.length]).sort(), [["olga", 0], ["vera", 1]]);
  await assert.rejects(viewer.call("session.list", {}), { fault: "forbidden" });
});

test("a sign-in that was ended elsewhere gives no token any more, and says so to whoever keeps it", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  await server.admin("olga");
  const kept: unknown[] = [];
  const signIn = await SignIn.withPassword(server.url, "olga", "correct horse battery", { changed: (tokens) => kept.push(tokens) });
  const token = await signIn.token({ reason: "connect" });
  const client = connect(server, { person: signIn.user!, token, refresh: "" }, { token: signIn.token });
  t.after(() => client.close());
  const ended = end(client);
  await patiently("the session", client.ready());
  await client.call("auth.logout", {});
  assert.equal((await ended).code, 4501);
  const [pair] = kept as [{ access: string; refresh: string }];
  const later = SignIn.withTokens(server.url, pair, { changed: (tokens) => kept.push(tokens) });
  await assert.rejects(Promise.resolve(later.token({ reason: "connect" })), SignedOut);
  assert.deepEqual(kept, [pair, pair, undefined]);
});
