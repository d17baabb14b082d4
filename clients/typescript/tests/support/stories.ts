// Clients and missions for the tests, and random things that people do with missions.

import { Client, type ClientOptions, type Mission, type MissionWatch } from "../../src/index.js";
import { patiently, type Member, type Server } from "./server.js";

/** Comes back quickly, so that tests do not wait. */
export const QUICK = { firstMs: 20, longestMs: 200 };

/** A client of `who`, connected. */
export function connect(server: { url: string }, who: Member, options: Partial<ClientOptions> = {}): Client {
  return new Client({ url: server.url, token: () => who.token, backoff: QUICK, ...options }).connect();
}

/** A mission without an agent. */
export async function mission(server: Server, who: Member, title = "Order the searches"): Promise<string> {
  return (await server.call(who, "mission.create", { title })).id;
}

/** Waits until the watch has all that the server has. */
export async function caughtUp(server: Server, who: Member, watch: MissionWatch): Promise<Mission> {
  const whole = await server.call(who, "mission.get", { mission: watch.id });
  await patiently(`position ${whole.seq}`, watch.until(({ state, confirmed }) => state === "live" && (confirmed?.seq ?? 0) >= whole.seq));
  return whole;
}

/** Numbers from 0 to 1 that are the same for the same seed. */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Somebody does something with the mission; what the server refuses (a step that is gone) changes nothing. */
export async function something(server: Server, who: Member, mission: string, random: () => number): Promise<void> {
  const pick = <T>(from: readonly T[]): T | undefined => from[Math.floor(random() * from.length)];
  const { plan } = await server.call(who, "mission.get", { mission });
  const step = pick(plan)?.id;
  const parent = random() < 0.5 ? undefined : pick(plan)?.id;
  const text = `word ${Math.floor(random() * 1e6)}`;
  const position = Math.floor(random() * 4);
  const status = pick(["pending", "running", "waiting", "completed", "failed", "skipped"] as const)!;
  const deed = random();
  try {
    if (deed < 0.3 || step === undefined) {
      await server.call(who, "step.add", { mission, title: text, position, ...(parent && { parent }) });
    } else if (deed < 0.55) {
      await server.call(who, "step.update", { mission, step, status, ...(random() < 0.3 && { result: text }) });
    } else if (deed < 0.7) {
      await server.call(who, "step.move", { mission, step, position, ...(parent && { parent }) });
    } else if (deed < 0.75) {
      await server.call(who, "step.remove", { mission, step });
    } else if (deed < 0.85) {
      await server.call(who, "activity.add", { mission, message: text, details: { n: position }, step });
    } else if (deed < 0.93) {
      await server.call(who, "message.send", { mission, text });
    } else {
      await server.call(who, "mission.update", { mission, title: text, priority: "high" });
    }
  } catch (error) {
    if (!String(error).includes("step_cycle")) throw error;
  }
}
