// Who is there: each person once, what they look at and have seen, who writes, and all of it again after a kill -9.

import assert from "node:assert/strict";
import test from "node:test";
import type { MissionWatch } from "../src/index.js";
import { Server, patiently } from "./support/server.js";
import { connect, mission } from "./support/stories.js";

/** Who the watch says is there. */
function names(watch: MissionWatch): string[] {
  return (watch.presence?.people ?? []).map(({ name }) => name).sort();
}

test("people see each other once, however many windows they have, and what they do", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const vera = await server.member(olga, "viewer", "vera");
  const id = await mission(server, olga);
  const step = (await server.call(olga, "step.add", { mission: id, title: "Find the title number" })).id!;
  const clients = [connect(server, olga), connect(server, olga), connect(server, vera)];
  t.after(() => clients.forEach((client) => client.close()));
  const [first, second, theirs] = clients.map((client) => client.watch(id)) as [MissionWatch, MissionWatch, MissionWatch];
  await patiently("everyone", Promise.all([first, second, theirs].map((watch) => watch.until((watch) => names(watch).join() === "olga,vera"))));

  first.present({ looks_at: { step }, seen_seq: 2, typing: true, cursor: { line: 3 } });
  /** Whether olga is seen to look at the step, having seen so much. */
  const looks = ({ presence }: MissionWatch): boolean => {
    const olga = presence?.people.find(({ name }) => name === "olga");
    return olga?.looks_at?.step === step && olga.seen_seq === 2;
  };
  await patiently("what olga does", theirs.until((watch) => looks(watch) && watch.live.typing.length === 1 && watch.live.cursors.length === 1));
  assert.deepEqual(theirs.live.typing.map(({ name }) => name), ["olga"]);
  assert.deepEqual(theirs.live.cursors.map(({ name, at }) => [name, at]), [["olga", { line: 3 }]]);
  first.present({ typing: false });
  await patiently("the end of it", theirs.until(({ live }) => live.typing.length === 0));

  await server.killNine();
  await patiently("the loss", theirs.until(({ state }) => state === "waiting"));
  assert.equal(theirs.presence, undefined, "who is there is not known while nothing is heard");
  assert.deepEqual(theirs.live.cursors, [], "who points where is not known while nothing is heard");
  await server.startAgain();
  await patiently("everyone again", theirs.until((watch) => watch.state === "live" && names(watch).join() === "olga,vera" && looks(watch)));

  first.close();
  await patiently("the other window", second.until(({ state, presence }) => state === "live" && presence !== undefined));
  clients[1]!.close();
  clients[0]!.close();
  await patiently("olga's leave", theirs.until((watch) => names(watch).join() === "vera"));
});
