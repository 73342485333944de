// Node's Socket.IO as the peer: the same commands on standard input as tests/bench/servers.py.
'use strict';
const http = require('node:http');
const readline = require('node:readline');
const { Server } = require('socket.io');

const server = http.createServer();
const io = new Server(server, { transports: ['websocket'], perMessageDeflate: false });
io.on('connection', (socket) => {
  socket.on('join', (room, ack) => { socket.join(room); ack({ ok: {} }); });
});

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

const commands = {
  async emit({ count, every, event }) {
    for (let i = 0; i < count; i += 1) {
      io.to('board').emit('patient-called', event);
      if (every) await pause(every * 1000);
    }
    return {};
  },
  async settle() {
    for (let i = 0; i < 3; i += 1) { global.gc(); await pause(50); }
    return {};
  },
};

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { do: name, ...rest } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(await commands[name](rest))}\n`);
}).on('close', () => process.exit(0));

server.listen(0, '127.0.0.1', 4096, () => {
  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`);
});
