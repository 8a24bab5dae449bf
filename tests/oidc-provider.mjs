// A real authorization server for tests: access tokens by client credentials, resource indicators (RFC 8707), DPoP,
// introspection and revocation. `node oidc-provider.mjs DIRECTORY-OF-THE-PACKAGE PORT [FILES]`; says when it listens.
// FILES: a directory with server.pem, server.key and clients-ca.pem for https, where clients may prove who they are by a
// certificate (RFC 8705), client.jwks.json for one that signs (`private_key_jwt`), and keys.json with the private keys that it
// publishes (JWK Set), of which it signs with the first.
// Proofs of the client `signer` must hold a nonce.
// A token for https://api.test/jwt/SECONDS is a JWT that lives for so long; one for another resource is opaque.
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [, , directory, port, files] = process.argv;
const { Provider } = await import(pathToFileURL(`${directory}/node_modules/oidc-provider/lib/index.js`));
const machine = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };
const client = (client_id, client_secret, more) => ({ client_id, client_secret, ...machine, ...more });
const read = (name) => readFileSync(`${files}/${name}`, 'utf8');
const clients = [
  client('bot', 'secret-of-the-bot'),
  client('the gateway', 's3cr3t-of-the-gateway%'),
  client('poster', 's3cr3t-of-the-poster+&', { token_endpoint_auth_method: 'client_secret_post' }),
];
if (files) {
  clients.push(client('certified', undefined, {
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_uri: 'spiffe://corp.example/reports',
    tls_client_certificate_bound_access_tokens: true,
  }));
  if (existsSync(`${files}/client.jwks.json`)) {
    const jwks = JSON.parse(read('client.jwks.json'));
    clients.push(client('signer', undefined, {
      token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks,
    }));
  }
}
const tls = () => ({
  key: read('server.key'), cert: read('server.pem'), ca: read('clients-ca.pem'), requestCert: true, rejectUnauthorized: false,
});
const server = files ? createTlsServer(tls()) : createServer();
const generated = () => {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  return { keys: [{ ...key, kid: 'one', use: 'sig', alg: 'ES256' }] };
};
const jwks = files && existsSync(`${files}/keys.json`) ? JSON.parse(read('keys.json')) : generated();
const forResource = (resource) => {
  const [, seconds] = /\/jwt\/(\d+)$/.exec(resource) ?? [];
  const [accessTokenFormat, accessTokenTTL] = seconds ? ['jwt', Number(seconds)] : ['opaque', 600];
  return { audience: 'orders-api', scope: 'all', accessTokenTTL, accessTokenFormat, jwt: { sign: { alg: 'ES256' } } };
};
server.listen(Number(port), '127.0.0.1', () => {
  const provider = new Provider(`${files ? 'https' : 'http'}://127.0.0.1:${port}`, {
    clients,
    jwks,
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', ...(files ? ['tls_client_auth'] : [])],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    scopes: ['all'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: (ctx) => ctx.oidc.client.clientId === 'signer' },
      revocation: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_, { clientId }) => clientId === 'the gateway' },
      resourceIndicators: { enabled: true, getResourceServerInfo: (_, resource) => forResource(resource) },
      mTLS: {
        enabled: Boolean(files),
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.()?.toString(),
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) =>
          property === 'tls_client_auth_san_uri' && ctx.socket.getPeerX509Certificate().subjectAltName === `URI:${expected}`,
      },
    },
  });
  server.on('request', provider.callback());
  console.log('listening');
});
