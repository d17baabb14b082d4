// The conformance kit of ../../conformance runs this client through everything that can go wrong.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { PACKAGE, binary } from "./support/server.js";

interface Report {
  passed: boolean;
  scenarios: { scenario: string; skipped: string | null; findings: { kind: string; what: string }[] }[];
}

test("the client passes the conformance kit: no gap, no duplicate, no divergence", { timeout: 600_000 }, async () => {
  const harness = join(dirname(binary()), "flightdeck-conformance");
  assert.ok(existsSync(harness), `${harness} is not there: build it (cargo build -p flightdeck-conformance)`);
  const client = [process.execPath, "--experimental-websocket", "--no-warnings"];
  const program = join(PACKAGE, "dist/tests/support/conformance_client.js");
  const run = spawn(harness, ["run", "--server", binary(), "--json", "--", ...client, program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(run, "exit");
  const report = JSON.parse(await text(run.stdout)) as Report;
  const [code] = await ended;
  const wrong = report.scenarios.flatMap(({ scenario, findings }) => findings.map((finding) => ({ scenario, ...finding })));
  assert.deepEqual(wrong, []);
  assert.deepEqual(report.scenarios.filter(({ skipped }) => skipped !== null), [], "it can do all of it");
  assert.ok(report.scenarios.length >= 19);
  assert.equal(code, 0);
});
