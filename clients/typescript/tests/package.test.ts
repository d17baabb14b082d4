// The package as others get it: what is in it, how large it is, and that the example of its README compiles and runs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { PACKAGE, Server, patiently } from "./support/server.js";

const readme = readFileSync(join(PACKAGE, "README.md"), "utf8");
const run = promisify(execFile);

test("the example of the README compiles, strictly, and does what it says", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  await server.admin("olga");
  const example = /```ts\n([^]*?)```/.exec(readme)?.[1] ?? "";
  assert.ok(example.includes("https://desk.example"));
  // A program of somebody who installed the package.
  const folder = join(server.home, "program");
  mkdirSync(join(folder, "node_modules/@flightdeck"), { recursive: true });
  symlinkSync(PACKAGE, join(folder, "node_modules/@flightdeck/client"));
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  writeFileSync(join(folder, "example.ts"), example.replace("https://desk.example", server.url));
  const options = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--types", ""];
  const compiled = await run(process.execPath, [join(PACKAGE, "node_modules/typescript/bin/tsc"), ...options, "example.ts"], { cwd: folder })
    .catch((error: { stdout: string; stderr: string }) => assert.fail(error.stdout + error.stderr));
  assert.equal(compiled.stdout, "");
  const ran = await patiently("the example", run(process.execPath, ["--experimental-websocket", "--no-warnings", join(folder, "example.js")]));
  const lines = ran.stdout.trim().split("\n");
  for (const line of ["open", "please hurry", "2 message_sent", "ended"]) assert.ok(lines.includes(line), `${line} is not in\n${ran.stdout}`);
  assert.ok(lines.indexOf("please hurry") < lines.indexOf("2 message_sent"), ran.stdout);
});

test("the package holds the client, its types and its licence, and nothing else", async () => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json"], { cwd: PACKAGE, env: { ...process.env, npm_config_loglevel: "silent" } });
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  const sources = readdirSync(join(PACKAGE, "src")).map((name) => `dist/src/${name.replace(/\.ts$/, "")}`);
  const wanted = ["LICENSE", "README.md", "package.json", ...sources.flatMap((name) => [".js", ".js.map", ".d.ts"].map((ending) => name + ending))];
  assert.deepEqual(paths.sort(), wanted.sort());
});

test("the package needs nothing at run time, and its lock file names no place to download from", () => {
  const manifest = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as Record<string, unknown>;
  assert.deepEqual(Object.keys(manifest).filter((name) => /^(optional|peer|bundled?)?dependencies$/i.test(name)), []);
  const lock = JSON.parse(readFileSync(join(PACKAGE, "package-lock.json"), "utf8")) as { packages: Record<string, object> };
  assert.deepEqual(Object.entries(lock.packages).filter(([, entry]) => "resolved" in entry).map(([name]) => name), []);
});

test("the client is as small as the README says", () => {
  const folder = join(PACKAGE, "dist/src");
  const code = readdirSync(folder).filter((name) => name.endsWith(".js")).map((name) => readFileSync(join(folder, name)));
  const most = Number(/under (\d+) KB gzipped/.exec(readme)?.[1]) * 1_000;
  const size = gzipSync(Buffer.concat(code)).length;
  assert.ok(size < most && size > most / 2, `${size} bytes, and the README says under ${most}`);
});
