// A small HTTP service, Node's standard library only. It knows nothing of being replaced: SIGTERM ends it.
'use strict';

const http = require('node:http');

const version = process.env.VERSION || '1.0.0';

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const answer = (text) => {
    response.setHeader('Content-Type', 'text/plain');
    response.end(text);
  };
  request.resume();
  request.on('end', () => {
    switch (url.pathname) {
      case '/healthz':
        return answer('ok\n');
      case '/slow':
        return setTimeout(() => answer(`node ${version}\n`), Number(url.searchParams.get('ms')));
      case '/events': {
        response.setHeader('Content-Type', 'text/event-stream');
        let n = 0;
        const timer = setInterval(() => response.write(`id: ${++n}\ndata: tick ${n}\n\n`), 200);
        return response.on('close', () => clearInterval(timer));
      }
      default:
        return answer(`node ${version}\n`);
    }
  });
});

server.listen(process.env.PORT || 8080);
