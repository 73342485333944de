/** The official JavaScript client against a running server: follow, command, miss some events, catch up. */
const [asked] = process.argv.slice(2);
const { url, client, token, stream, queue, transports } = JSON.parse(asked);
const { io, Fetch, WebSocket } = await import(client);

const ways = { polling: Fetch, websocket: WebSocket };
const options = { transports: transports.map((name) => ways[name]), forceNew: true, reconnection: false };
const open = (auth) => {
  const socket = io(url, { ...options, auth });
  return new Promise((resolve, reject) => {
    socket.on("connect", () => resolve(socket));
    socket.on("connect_error", reject);
  });
};
const settled = (socket) =>
  new Promise((resolve) => {
    const engine = socket.io.engine;
    const last = transports.at(-1);
    if (engine.transport.name === last) resolve(last);
    else engine.on("upgrade", (transport) => resolve(transport.name));
  });

const refused = await open({ token: "nobody's" }).then(
  () => null,
  (error) => error.data,
);
const follower = await open({ token });
const clerk = await open({ token });
const transport = await settled(follower);

const heard = [];
let tell = () => {};
follower.on("ticket-joined", (envelope) => {
  heard.push(envelope);
  tell();
});
const until = async (count) => {
  while (heard.length < count) await new Promise((resolve) => (tell = resolve));
};
const join = (name) => clerk.emitWithAck("join-queue", { queue_id: queue, patient: { name } });

const first = (await follower.emitWithAck("subscribe", { stream })).ok;
const joined = [(await join("One")).ok, (await join("Two")).ok];
await until(2);
const { epoch, version } = heard.at(-1);

follower.disconnect();
for (const name of ["Three", "Four", "Five"]) joined.push((await join(name)).ok);
await new Promise((resolve) => follower.once("connect", resolve).connect());
const missed = (await follower.emitWithAck("subscribe", { stream, epoch, version })).ok;
joined.push((await join("Six")).ok);
await until(3);
const unknown = (await clerk.emitWithAck("no-such-event", {})).problem;

follower.disconnect();
clerk.disconnect();
console.log(JSON.stringify({ refused, transport, first, joined, heard, missed, unknown }));
