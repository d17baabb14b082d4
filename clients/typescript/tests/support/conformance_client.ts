// This client as the client under test of ../../conformance: orders on standard input, words on standard output.

import { createInterface } from "node:readline";
import { Client, Ended, type MissionId, type TokenRequest } from "../../src/index.js";

type Order =
  | { do: "begin"; url: string; token: string; mission: MissionId; missions: boolean }
  | { do: "token"; token: string | null }
  | { do: "state"; id: number }
  | { do: "stop" };

const say = (word: { says: string } & Record<string, unknown>): void => void process.stdout.write(JSON.stringify(word) + "\n");

/** Who waits for a token. */
const waiting: ((token: string | null) => void)[] = [];
let current = "";

async function token({ reason, rejected }: TokenRequest): Promise<string> {
  if (reason === "connect" || rejected !== current) return current;
  const given = await new Promise<string | null>((resolve) => {
    waiting.push(resolve);
    say({ says: "needs_token" });
  });
  if (given === null) throw new Error("the harness has no token now");
  return (current = given);
}

function begin(order: Order & { do: "begin" }): { client: Client; state: () => unknown } {
  current = order.token;
  const client = new Client({ url: order.url, token }).connect();
  const watch = client.watch(order.mission);
  watch.onNews(({ events = [], snapshot }) => {
    const { epoch, seq } = watch.position ?? { epoch: "", seq: 0 };
    if (snapshot !== undefined) say({ says: "snapshot", epoch, seq });
    for (const event of events) say({ says: "event", epoch, seq: event.seq });
  });
  watch.subscribe(() => watch.state === "ended" && say({ says: "ended", why: watch.error?.message ?? "" }));
  client.onState((state) => {
    if (state.name === "ended" && state.why instanceof Ended) say({ says: "ended", why: state.why.message });
  });
  if (order.missions) {
    const list = client.watchMissions();
    list.subscribe(() => list.items && say({ says: "missions", ids: list.items.map(({ id }) => id) }));
  }
  return { client, state: () => watch.confirmed ?? null };
}

say({ says: "hello", library: "@flightdeck/client", can: ["missions"] });
let under: ReturnType<typeof begin> | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as Order;
  if (order.do === "begin") under = begin(order);
  else if (order.do === "token") waiting.shift()?.(order.token);
  else if (order.do === "state") say({ says: "state", id: order.id, mission: under?.state() ?? null });
  else break;
}
process.exit(0);
