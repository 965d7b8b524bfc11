// A certified OpenID Connect provider (npm `oidc-provider`) for the tests, on 127.0.0.1. It ends with its stdin.
//
//   node server.mjs CONFIG        CONFIG is a JSON file:
//
//   port       where to listen
//   keys       a folder with one private JWK a file; those that `sign` names and the folder lacks are made
//   sign       [{ "kid": "k1", "alg": "RS256" }, ...], the keys that are in force
//   clients    as oidc-provider takes them
//   accounts   { "alice": { claims } }; any password will do
//
// A resource `https://ALG.test` gives a signed access token for the audience `elastauth`, `https://other.test` one for somebody else (RS256), and no resource an
// opaque one.
import { createRequire } from 'node:module';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import path from 'node:path';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
// The packages are in the folder of the part, beside which this file is not.
const require = createRequire(path.join(process.env.OIDC_PROVIDER_PART, 'package.json'));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { Provider } = await load('oidc-provider');
const { exportJWK, generateKeyPair } = await load('jose');

async function key({ kid, alg }) {
  const file = path.join(config.keys, `${kid}.json`);
  if (!existsSync(file)) {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    mkdirSync(config.keys, { recursive: true });
    writeFileSync(file, JSON.stringify({ ...(await exportJWK(privateKey)), kid, alg, use: 'sig' }));
  }
  return JSON.parse(readFileSync(file, 'utf8'));
}

const issuer = `http://127.0.0.1:${config.port}`;
const claimsOf = (id) => config.accounts[id] ?? {};

const provider = new Provider(issuer, {
  jwks: { keys: await Promise.all(config.sign.map(key)) },
  clients: config.clients,
  cookies: { keys: ['a key of the tests'] },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...claimsOf(id) }) }),
  claims: { openid: ['sub'], profile: ['preferred_username', 'name'], email: ['email'], groups: ['groups'] },
  scopes: ['openid', 'profile', 'email', 'groups'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
  enabledJWA: {
    idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'],
    clientAuthSigningAlgValues: ['RS256', 'ES256', 'EdDSA'],
  },
  // The same claims as userinfo has, in a signed access token: who lives off the signature alone needs them there.
  extraTokenClaims: (_ctx, token) => (token.kind === 'AccessToken' ? claimsOf(token.accountId) : undefined),
  features: {
    devInteractions: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_ctx, client) => client.clientId.startsWith('elastauth') },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (_ctx, resource) => {
        const name = new URL(resource).hostname.split('.')[0];
        const alg = config.sign.map((one) => one.alg).find((one) => one.toLowerCase() === name);
        return {
          scope: 'openid profile email groups',
          audience: name === 'other' ? 'other-api' : 'elastauth',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: alg ?? 'RS256' } },
        };
      },
    },
  },
  ttl: { AccessToken: 300, Interaction: 300, Grant: 300, IdToken: 300, Session: 300 },
});

for (const event of ['server_error', 'introspection.error', 'grant.error', 'authorization.error']) provider.on(event, (_ctx, error) => console.error(event, error));
provider.listen(config.port, '127.0.0.1', () => console.log(`ready ${issuer}`));
process.stdin.resume().on('end', () => process.exit(0));
