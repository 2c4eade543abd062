// Starts GraphiQL against the address that this page was loaded from: queries by POST,
// subscriptions by graphql-transport-ws.
"use strict";

(async () => {
  const url = window.location.origin + window.location.pathname;
  // A browser cannot send headers with a WebSocket, so they go into its first message. A client per
  // operation, since the headers editor may have changed; it connects only for a subscription.
  const connectionParams = (headers) =>
    Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  const fetcher = (operation, options) =>
    window.GraphiQL.createFetcher({
      url,
      wsClient: window.graphqlWs.createClient({
        url: url.replace(/^http/, "ws"),
        lazy: true,
        connectionParams: connectionParams(options?.headers),
      }),
    })(operation, options);
  const examples = await (await fetch("/graphiql/operations.json")).json();
  const element = window.React.createElement(window.GraphiQL, {
    fetcher,
    defaultTabs: examples.map((query) => ({ query })),
    defaultEditorToolsVisibility: "variables",
    // Headers may hold credentials; they stay out of the browser's storage.
    shouldPersistHeaders: false,
  });
  window.ReactDOM.render(element, document.getElementById("editor"));
})();
