// A sign-in with name and password, kept up by its refresh token: a token callback for clients that have no other.

import { socketAddress } from "./address.js";
import { Refused, SignedOut } from "./errors.js";
import type { Person } from "./generated.js";
import { askOnce, type SessionOptions } from "./session.js";
import type { TokenRequest, TokenSource } from "./tokens.js";

/** What a program may keep of a sign-in, where nobody else can read it. */
export interface Tokens {
  access: string;
  refresh: string;
}

/** An access token is taken for stale this long before its end, in milliseconds. */
const MARGIN_MS = 10_000;

/** A sign-in. */
export class SignIn {
  /** Gives access tokens, for {@link ClientOptions.token}. */
  readonly token: TokenSource = (request) => this.#token(request);
  /** Who signed in; unknown where tokens were kept from an earlier run. */
  readonly user: Person | undefined;

  readonly #address: string;
  readonly #options: SessionOptions;
  readonly #changed: (tokens: Tokens | undefined) => void;
  #tokens: Tokens | undefined;
  #staleAt: number;
  #refreshing: Promise<string> | undefined;

  private constructor(
    url: string,
    tokens: Tokens,
    lifetimeMs: number,
    user: Person | undefined,
    { changed, ...options }: SignInOptions,
  ) {
    this.#address = socketAddress(url);
    this.#options = { ...DEFAULTS, ...options };
    this.#changed = changed ?? (() => undefined);
    this.#tokens = tokens;
    this.#staleAt = Date.now() + lifetimeMs - MARGIN_MS;
    this.user = user;
    this.#changed(tokens);
  }

  /** Signs in at the server at `url`. */
  static async withPassword(url: string, username: string, password: string, options: SignInOptions = {}): Promise<SignIn> {
    const { changed: _, ...session } = options;
    const signed = await askOnce(socketAddress(url), "auth.login", { username, password }, { ...DEFAULTS, ...session });
    const tokens = { access: signed.access_token, refresh: signed.refresh_token };
    return new SignIn(url, tokens, signed.expires_in * 1_000, signed.user, options);
  }

  /** Goes on with the tokens of an earlier run. */
  static withTokens(url: string, tokens: Tokens, options: SignInOptions = {}): SignIn {
    return new SignIn(url, tokens, 0, undefined, options);
  }

  #token({ reason, rejected }: TokenRequest): string | Promise<string> {
    if (this.#tokens === undefined) throw new SignedOut();
    const { access } = this.#tokens;
    if (reason === "connect" && access !== rejected && Date.now() < this.#staleAt) return access;
    // A refresh token is good for one use: two clients that ask at once get the same answer.
    this.#refreshing ??= this.#refresh(this.#tokens.refresh).finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #refresh(refresh_token: string): Promise<string> {
    try {
      const pair = await askOnce(this.#address, "auth.refresh", { refresh_token }, this.#options);
      this.#tokens = { access: pair.access_token, refresh: pair.refresh_token };
      this.#staleAt = Date.now() + pair.expires_in * 1_000 - MARGIN_MS;
      this.#changed(this.#tokens);
      return pair.access_token;
    } catch (error) {
      if (!(error instanceof Refused) || error.kind !== "unauthenticated") throw error;
      this.#tokens = undefined;
      this.#changed(undefined);
      throw new SignedOut(`the sign-in has ended: ${error.message}`);
    }
  }
}

/** How a sign-in behaves. */
export interface SignInOptions extends Partial<SessionOptions> {
  /** Told of new tokens, to keep them; and of nothing, when the sign-in has ended. */
  changed?: (tokens: Tokens | undefined) => void;
}

const DEFAULTS: SessionOptions = { connectTimeoutMs: 10_000, pingEveryMs: 20_000 };
