// A browser that shows a mission live, over a kill -9 of the server: it shows what the command line shows.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";
import test from "node:test";
import { promisify } from "node:util";
import type { Mission } from "../src/index.js";
import { browser } from "./support/browser.js";
import { PACKAGE, Server, binary, patiently, type Member } from "./support/server.js";

const TYPES: Record<string, string> = { html: "text/html", css: "text/css", js: "text/javascript" };

/** The page and the client that it uses, as files. */
async function pages(): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? "/", "http://x").pathname);
    const file = path.startsWith("/client/") ? join(PACKAGE, "dist/src", path.slice(8)) : join(PACKAGE, "examples", path);
    readFile(file).then(
      (bytes) => response.setHeader("content-type", TYPES[file.split(".").at(-1)!] ?? "text/plain").end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** What `flightdeck mission show --json` says. */
async function shown(server: Server, who: Member, mission: string): Promise<Mission> {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("FLIGHTDECK_"));
  const env = { ...Object.fromEntries(own), FLIGHTDECK_TOKEN: who.token, HOME: server.home };
  const run = promisify(execFile)(binary(), ["mission", "show", mission, "--json", "--server", server.url], { env });
  return JSON.parse((await patiently("the command line", run)).stdout);
}

/** What people see of a mission. */
function gist({ title, status, seq, activity_count, progress, plan, messages, documents, approvals }: Mission) {
  return {
    title,
    status: status as string,
    seq,
    activity_count,
    progress,
    steps: plan.map((step) => `${step.title}: ${step.status}`).sort(),
    messages: messages.map(({ text }) => text),
    documents: documents.map(({ name }) => name),
    questions: approvals.filter(({ status }) => status === "pending").map(({ prompt }) => prompt),
  };
}

/** Delivers, asks, and speaks on for as long as nobody answers. */
const AGENT = `
import select
open('title-register.txt', 'w').write('EX12345')
say(type='document', name='title-register.txt', path='title-register.txt')
say(type='ask', key='go', prompt='Order the local search?', options=[{'id': 'yes', 'label': 'Order it'}])
say(type='delta', stream='a', text='I have the title register')
while True:
    if select.select([sys.stdin], [], [], 0.1)[0]:
        if hear()['type'] in ('answer', 'cancel'):
            break
    say(type='delta', stream='a', text=', and')
say(type='text', stream='a', text='I have the title register, and go on')
say(type='done')
`;

test("a page in a browser shows the same mission as the command line, after a kill -9 of the server", async (t) => {
  const server = await Server.withAgents({ searches: AGENT });
  t.after(() => server.remove());
  const olga = await server.admin("olga");
  const title = "Order the searches for 14 Elm Road";
  const { id } = await server.call(olga, "mission.create", { title, type: "conveyancing", priority: "high", agent: "searches" });
  const steps: string[] = [];
  for (const title of ["Find the title number", "Order the local search", "Order the water search"]) {
    steps.push((await server.call(olga, "step.add", { mission: id, title })).id!);
  }
  await server.call(olga, "step.add", { mission: id, title: "Pay the fee", parent: steps[1]! });
  await server.call(olga, "step.update", { mission: id, step: steps[0]!, status: "completed", result: "EX12345" });
  await server.call(olga, "activity.add", { mission: id, message: "the land registry answered", type: "success" });
  await server.call(olga, "mission.start", { mission: id });

  const files = await pages();
  t.after(() => files.close());
  const page = await (await browser(t)).newPage({ viewport: { width: 1100, height: 800 } });
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  // Where a token must never be: addresses, and what is logged.
  const exposed: string[] = [];
  page.on("request", (request) => exposed.push(request.url()));
  page.on("websocket", (socket) => exposed.push(socket.url()));
  page.on("framenavigated", (frame) => exposed.push(frame.url()));
  page.on("console", (message) => exposed.push(message.text()));
  await page.goto(`${files.url}/mission.html?server=${encodeURIComponent(server.url)}&mission=${id}`);

  /** What the page shows. */
  const seen = async (): Promise<ReturnType<typeof gist>> => {
    const field = (name: string): Promise<string> => page.locator(`[data-field="${name}"]`).innerText();
    const plan = await page.locator("#plan li").evaluateAll((items) =>
      items.map((item) => `${item.firstChild?.textContent}: ${(item as HTMLElement).dataset["status"]}`),
    );
    const messages = await page.locator("#messages li").evaluateAll((items) => items.map((item) => item.lastChild?.textContent ?? ""));
    return {
      title: await field("title"),
      status: (await field("status")).toLowerCase(),
      seq: Number(await field("seq")),
      activity_count: Number(await field("activity_count")),
      progress: Number(await field("percent")),
      steps: plan.sort(),
      messages,
      documents: await page.locator("#documents li").evaluateAll((items) => items.map((item) => item.firstChild?.textContent ?? "")),
      questions: await page.locator("#approvals h2").allInnerTexts(),
    };
  };
  /** Waits until page and command line are at the same position, and gives what both show there. */
  const compared = async (until: (mission: Mission) => boolean): Promise<Mission> => {
    for (;;) {
      const before = await seen();
      const mission = await shown(server, olga, id);
      if (!until(mission) || before.seq !== mission.seq || (await seen()).seq !== mission.seq) continue;
      assert.deepEqual(before, gist(mission));
      return mission;
    }
  };

  await page.fill("[name=username]", "olga");
  await page.fill("[name=password]", "not the password");
  await page.click("#sign-in button");
  await page.locator("#trouble", { hasText: /password/ }).waitFor();
  await page.fill("[name=password]", "correct horse battery");
  await page.click("#sign-in button");
  await page.locator("#live li", { hasText: "I have the title register, and, and" }).waitFor({ timeout: 60_000 });
  await patiently("the same on both", compared(({ approvals }) => approvals.length === 1));
  await page.screenshot({ path: join(PACKAGE, "dist/mission-live.png"), fullPage: true });

  await server.killNine();
  await page.locator("#connection[data-state=waiting]", { hasText: /connection lost, again in \d+ s/ }).waitFor();
  await page.screenshot({ path: join(PACKAGE, "dist/mission-lost.png"), fullPage: true });
  await server.startAgain();
  await server.call(olga, "step.update", { mission: id, step: steps[1]!, status: "running" });
  await server.call(olga, "step.move", { mission: id, step: steps[2]!, position: 0 });
  await server.call(olga, "activity.add", { mission: id, message: "the council is slow today", type: "warning" });
  await server.call(olga, "mission.update", { mission: id, title: `${title}, Exeter` });
  await page.locator("#connection[data-state=open]").waitFor({ timeout: 60_000 });
  await page.fill("[name=text]", "Please hurry");
  await page.click("#composer button");
  await page.locator("#messages li:not([data-expected])").waitFor({ timeout: 60_000 });

  await patiently("the same on both", compared(({ messages }) => messages.length === 1));
  await page.screenshot({ path: join(PACKAGE, "dist/mission-again.png"), fullPage: true });
  await page.click("#approvals button");
  await page.locator(`[data-field="status"][data-is=completed]`).waitFor({ timeout: 60_000 });
  const end = await patiently("the same on both", compared(({ status }) => status === "completed"));
  assert.deepEqual(end.approvals.map(({ answer }) => answer?.option), ["yes"]);
  assert.equal(await page.locator("#live li").count(), 0, "what was said stands in the activity now");

  // As wide as a telephone, nothing sticks out.
  await page.setViewportSize({ width: 390, height: 844 });
  assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 390);
  assert.deepEqual(errors, []);
  // Each is three parts of base64 that begin like a JSON object.
  const token = /eyJ[\w-]+\.[\w-]+\./;
  assert.match(olga.token, token);
  assert.ok(exposed.some((said) => said.endsWith("/ws")), "sockets were seen");
  assert.deepEqual([...exposed, server.log()].filter((said) => token.test(said)), []);
  await page.screenshot({ path: join(PACKAGE, "dist/mission.png"), fullPage: true });
});
