// A browser without a window, for what pages can do and cannot.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import type { TestContext } from "node:test";
import { chromium, type Browser } from "playwright-core";

const BROWSER = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

/** A browser, until the test is over. */
export async function browser(t: TestContext): Promise<Browser> {
  assert.ok(existsSync(BROWSER), `${BROWSER} is not there: install chromium, or name one in CHROMIUM`);
  const browser = await chromium.launch({
    executablePath: BROWSER,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  t.after(() => browser.close());
  return browser;
}
