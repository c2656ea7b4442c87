import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** A small HTTP service on the JDK's own server. It knows nothing of being replaced: SIGTERM ends it. */
public class Server {
  private static final String VERSION = System.getenv().getOrDefault("VERSION", "1.0.0");

  public static void main(String[] args) throws IOException {
    int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
    // The default of 50 places for connections that wait overflows as soon as a cold JVM has a second of traffic.
    HttpServer server = HttpServer.create(new InetSocketAddress(port), 1024);
    server.setExecutor(Executors.newCachedThreadPool());
    server.createContext("/healthz", exchange -> answer(exchange, "ok\n"));
    server.createContext("/slow", exchange -> {
      try {
        Thread.sleep(Long.parseLong(exchange.getRequestURI().getQuery().replace("ms=", "")));
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
      answer(exchange, "java " + VERSION + "\n");
    });
    server.createContext("/", exchange -> answer(exchange, "java " + VERSION + "\n"));
    server.start();
  }

  private static void answer(HttpExchange exchange, String text) throws IOException {
    exchange.getRequestBody().readAllBytes();
    byte[] body = text.getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().set("Content-Type", "text/plain");
    exchange.sendResponseHeaders(200, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }
}
