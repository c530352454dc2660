// OAuth as the scenarios want it: a user who agrees at once, or credentials that need no user.

import { ClientCredentialsProvider, PrivateKeyJwtProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';

/** What authorizes the client, by what the scenario gave it beforehand. */
export function providerFor(context, server, fetch) {
  const { client_id: clientId, client_secret: clientSecret } = context;
  if (context.idp_id_token !== undefined) return new CrossApp(context, server, fetch);
  if (context.private_key_pem !== undefined) {
    const { private_key_pem: privateKey, signing_algorithm: algorithm = 'ES256' } = context;
    return new PrivateKeyJwtProvider({ clientId, privateKey, algorithm });
  }
  if (process.env.MCP_CONFORMANCE_SCENARIO === 'auth/client-credentials-basic') {
    return new ClientCredentialsProvider({ clientId, clientSecret });
  }
  return new Agreeing(fetch, clientId && { client_id: clientId, client_secret: clientSecret });
}

/** The authorization code flow with a user who agrees to everything. */
class Agreeing {
  #client;
  #code;
  #fetch;
  #tokens;
  #verifier;

  constructor(fetch, client) {
    this.#fetch = fetch;
    this.#client = client;
  }

  redirectUrl = 'http://localhost:3000/callback';
  clientMetadataUrl = 'https://conformance-test.local/client-metadata.json';
  clientMetadata = {
    client_name: 'narrowgate-conformance',
    redirect_uris: [this.redirectUrl],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
  };

  clientInformation() {
    return this.#client;
  }

  saveClientInformation(client) {
    this.#client = client;
  }

  tokens() {
    return this.#tokens;
  }

  saveTokens(tokens) {
    this.#tokens = tokens;
  }

  codeVerifier() {
    return this.#verifier;
  }

  saveCodeVerifier(verifier) {
    this.#verifier = verifier;
  }

  async redirectToAuthorization(url) {
    const answer = await this.#fetch(url, { redirect: 'manual' });
    const location = answer.headers.get('location');
    if (location === null) throw new Error(`no redirect from ${url.origin}${url.pathname}, but ${answer.status}`);
    this.#code = new URL(location).searchParams.get('code');
  }

  /** The code that the last redirect brought, once. */
  takeCode() {
    const code = this.#code;
    this.#code = undefined;
    return code;
  }
}

/** An identity token, exchanged for an assertion that the server's own authorization server takes (SEP-990). */
class CrossApp {
  #context;
  #fetch;
  #issuer;
  #server;
  #tokens;

  constructor(context, server, fetch) {
    this.#context = context;
    this.#server = server;
    this.#fetch = fetch;
  }

  redirectUrl = undefined;
  clientMetadata = {
    client_name: 'narrowgate-conformance',
    redirect_uris: [],
    grant_types: ['urn:ietf:params:oauth:grant-type:jwt-bearer'],
    token_endpoint_auth_method: 'client_secret_basic',
  };

  clientInformation() {
    const { client_id, client_secret } = this.#context;
    return { client_id, client_secret };
  }

  tokens() {
    return this.#tokens;
  }

  saveTokens(tokens) {
    this.#tokens = tokens;
  }

  saveDiscoveryState({ authorizationServerUrl }) {
    this.#issuer = authorizationServerUrl;
  }

  codeVerifier() {
    throw new Error('there is no code without a user');
  }

  async prepareTokenRequest() {
    const { idp_client_id, idp_id_token, idp_token_endpoint } = this.#context;
    const body = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      requested_token_type: 'urn:ietf:params:oauth:token-type:id-jag',
      audience: String(this.#issuer),
      resource: String(this.#server),
      subject_token: idp_id_token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      client_id: idp_client_id,
    });
    const answer = await this.#fetch(idp_token_endpoint, { method: 'POST', body });
    const { access_token: assertion } = await answer.json();
    return new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion });
  }
}
