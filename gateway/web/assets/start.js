// Starts GraphiQL against the address that this page was loaded from: queries by POST,
// subscriptions by graphql-transport-ws.
"use strict";

(async () => {
  const url = window.location.origin + window.location.pathname;
  const fetcher = window.GraphiQL.createFetcher({
    url,
    wsClient: window.graphqlWs.createClient({ url: url.replace(/^http/, "ws"), lazy: true }),
  });
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
