// Node's `ws`, measured beside ours: node live_peer.js PORT. Answers a subscription; a line of input is a broadcast.
const { WebSocketServer } = require("ws");
const EVENT = JSON.stringify({ type: "build_update", pad: "x".repeat(420) });
const server = new WebSocketServer({ host: "127.0.0.1", port: +process.argv[2], backlog: 2048, perMessageDeflate: false });
server.on("connection", (client) => client.on("message", () => client.send('{"type": "subscription_confirmed"}')));
server.on("listening", () => console.log("ready"));
require("readline")
  .createInterface({ input: process.stdin })
  .on("line", () => server.clients.forEach((client) => client.send(EVENT)))
  .on("close", () => process.exit());
