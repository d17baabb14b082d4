// This client as the client under test of ../../conformance: orders on standard input, words on standard output.

import { createInterface } from "node:readline";
import { Client, Ended, type MissionId, type MissionWatch, type MissionsQuery, type TokenRequest } from "../../src/index.js";

type Order =
  | { do: "begin"; url: string; token: string; mission: MissionId; missions: MissionsQuery | null; inbox: boolean }
  | { do: "token"; token: string | null }
  | { do: "state"; id: number }
  | { do: "unwatch" }
  | { do: "watch" }
  | { do: "send"; id: number; text: string }
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

/** What is watched of one mission, and said of it. */
class Under {
  readonly #client: Client;
  readonly #mission: MissionId;
  #watch: MissionWatch;

  constructor({ url, token: first, mission, missions, inbox }: Order & { do: "begin" }) {
    current = first;
    this.#client = new Client({ url, token }).connect();
    this.#mission = mission;
    this.#watch = this.#watched();
    this.#client.onState((state) => {
      if (state.name === "ended") say({ says: "ended", why: state.why.message });
    });
    if (missions !== null) {
      const list = this.#client.watchMissions(missions);
      list.subscribe(() => list.items && say({ says: "missions", ids: list.items.map(({ id }) => id) }));
    }
    if (inbox) {
      const list = this.#client.watchInbox();
      list.subscribe(() => list.items && say({ says: "inbox", ids: list.items.map(({ id }) => id) }));
    }
  }

  #watched(): MissionWatch {
    const watch = this.#client.watch(this.#mission);
    watch.onNews(({ events = [], snapshot }) => {
      const { epoch, seq } = watch.position ?? { epoch: "", seq: 0 };
      if (snapshot !== undefined) say({ says: "snapshot", epoch, seq });
      for (const event of events) say({ says: "event", epoch, seq: event.seq });
    });
    watch.subscribe(() => {
      const closedHere = watch.error instanceof Ended && watch.error.reason === "closed";
      if (watch.state === "ended" && !closedHere) say({ says: "ended", why: watch.error?.message ?? "" });
    });
    return watch;
  }

  obey(order: Exclude<Order, { do: "begin" | "token" | "stop" }>): void {
    switch (order.do) {
      case "state":
        return say({ says: "state", id: order.id, mission: this.#watch.confirmed ?? null });
      case "unwatch":
        this.#watch.close();
        return say({ says: "unwatched" });
      case "watch":
        say({ says: "watching" });
        this.#watch = this.#watched();
        return;
      case "send": {
        const { id, text } = order;
        this.#client.call("message.send", { mission: this.#mission, text }).then(
          ({ seq }) => say({ says: "sent", id, seq }),
          (error: unknown) => say({ says: "unsent", id, why: String(error) }),
        );
      }
    }
  }
}

say({ says: "hello", library: "@flightdeck/client", can: ["missions", "inbox", "unwatch", "send"] });
let under: Under | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as Order;
  if (order.do === "begin") under = new Under(order);
  else if (order.do === "token") waiting.shift()?.(order.token);
  else if (order.do === "stop") break;
  else under?.obey(order);
}
process.exit(0);
