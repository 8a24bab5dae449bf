// A real authorization server for tests/tests/introspection: opaque access tokens by client credentials, resource indicators
// (RFC 8707), DPoP, introspection and revocation. `node oidc-provider.mjs DIRECTORY-OF-THE-PACKAGE`; prints its port.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const { Provider } = await import(pathToFileURL(`${process.argv[2]}/node_modules/oidc-provider/lib/index.js`));
const client = (client_id, client_secret) => ({
  client_id, client_secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
});
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [client('bot', 'secret-of-the-bot'), client('the gateway', 's3cr3t-of-the-gateway%')],
    scopes: ['all'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_, { clientId }) => clientId === 'the gateway' },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          audience: 'orders-api', scope: 'all', accessTokenTTL: 600, accessTokenFormat: 'opaque',
        }),
      },
    },
  });
  server.on('request', provider.callback());
  console.log(port);
});
