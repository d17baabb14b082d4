// Live lists and the inbox: what they show is what the server gives anew, also over a kill -9.

import assert from "node:assert/strict";
import test from "node:test";
import { answer, type MissionList, type MissionSummary } from "../src/index.js";
import { Server, patiently } from "./support/server.js";
import { caughtUp, chance, connect, mission } from "./support/stories.js";

/** Asks two questions and waits for the answers. */
const ASKING = `
say(type='ask', key='go', prompt='Go on?', options=[{'id': 'yes', 'label': 'Yes'}, {'id': 'no', 'label': 'No'}])
say(type='ask', key='why', prompt='Why?')
while hear()['type'] != 'cancel':
    pass
`;

const ids = (missions: readonly { id: string }[] | undefined): string[] => (missions ?? []).map(({ id }) => id);

test("lists are in their order whatever people do, and over a kill -9", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  const queries = [{}, { order: "priority", limit: 4 }, { order: "title", limit: 3 }, { status: ["cancelled"] }, { type: "conveyancing" }] as const;
  const lists = queries.map((query) => client.watchMissions({ ...query, status: [...("status" in query ? query.status : [])] }));
  const random = chance(11);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const known: string[] = [];
  for (let round = 0; round < 60; round++) {
    const deed = random();
    const title = `${pick(["Order", "order", "Draft", "Ärger"])} ${Math.floor(random() * 50)}`;
    const priority = pick(["low", "normal", "high", "urgent"] as const);
    if (known.length < 4 || deed < 0.25) {
      known.push((await server.call(olga, "mission.create", { title, priority, type: pick(["general", "conveyancing"]) })).id);
    } else if (deed < 0.75) {
      await server.call(olga, "mission.update", { mission: pick(known), title, priority });
    } else if (deed < 0.9) {
      const [one] = known.splice(Math.floor(random() * known.length), 1);
      await server.call(olga, "mission.cancel", { mission: one! });
    } else {
      const [one] = known.splice(Math.floor(random() * known.length), 1);
      await server.call(olga, "mission.delete", { mission: one! });
    }
    if (round === 20 || round === 40) {
      await server.killNine();
      await patiently("the loss", lists[0]!.until(({ state }) => state === "waiting"));
      await server.startAgain();
    }
  }
  const another = connect(server, olga);
  t.after(() => another.close());
  for (const [place, query] of queries.entries()) {
    const fresh: MissionList = another.watchMissions({ ...query, status: [...("status" in query ? query.status : [])] });
    const { items } = await patiently("the list anew", fresh.until(({ items }) => items !== undefined));
    const wanted = items as readonly MissionSummary[];
    await patiently(`list ${place}`, lists[place]!.until(({ items }) => JSON.stringify(items) === JSON.stringify(wanted)));
  }
  const { items } = await server.call(olga, "mission.list", {});
  assert.deepEqual(lists[0]!.items, items);
  assert.ok(lists[1]!.items!.length === 4 && lists[3]!.items!.length > 0);
});

test("the inbox has what is asked, until somebody answers, and over a kill -9", async (t) => {
  const server = await Server.withAgents({ asking: ASKING });
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  const inbox = client.watchInbox();
  await patiently("the inbox", inbox.until(({ items }) => items !== undefined));
  assert.equal(inbox.items?.length, 0);
  const { id } = await server.call(olga, "mission.create", { title: "Order the searches", agent: "asking" });
  const watch = client.watch(id);
  await server.call(olga, "mission.start", { mission: id });
  await patiently("two questions", inbox.until(({ items }) => items?.length === 2));
  assert.deepEqual(inbox.items?.map(({ prompt, mission, kind }) => [prompt, mission, kind]).sort(), [["Go on?", id, "approval"], ["Why?", id, "approval"]]);

  await server.killNine();
  await patiently("the loss", inbox.until(({ state }) => state === "waiting"));
  assert.equal(inbox.items?.length, 2, "what was known is still shown");
  await server.startAgain();
  await patiently("the inbox", inbox.until(({ state }) => state === "live"));
  assert.deepEqual(inbox.items, (await server.call(olga, "inbox.list", {})).items);

  await patiently("the mission", watch.until(({ state }) => state === "live"));
  const go = inbox.items?.find(({ prompt }) => prompt === "Go on?");
  await answer(watch, go!.id, { option: "yes" });
  await patiently("the answer", inbox.until(({ items }) => items?.length === 1));
  await server.call(olga, "mission.cancel", { mission: id });
  await patiently("the end", inbox.until(({ items }) => items?.length === 0));
});

test("a list that is closed hears nothing more, and the others go on", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const client = connect(server, olga);
  t.after(() => client.close());
  const [closed, open] = [client.watchMissions(), client.watchMissions()];
  await patiently("the lists", Promise.all([closed, open].map((list) => list.until(({ state }) => state === "live"))));
  closed.close();
  const made = await mission(server, olga);
  await patiently("the mission", open.until(({ items }) => ids(items).includes(made)));
  assert.deepEqual([closed.state, closed.items], ["ended", []]);
  const watch = client.watch(made);
  assert.deepEqual(await caughtUp(server, olga, watch), watch.mission);
});
