// Four workers that share a port, as naive as the one of the example.
'use strict';

const cluster = require('node:cluster');

if (cluster.isPrimary) {
  for (let i = 0; i < 4; i++) cluster.fork();
} else {
  require('../../../examples/node/server.js');
}
