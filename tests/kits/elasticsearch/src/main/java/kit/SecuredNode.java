package kit;

import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.KeyStoreWrapper;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.core.IOUtils;
import org.elasticsearch.env.Environment;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.node.ClasspathNode;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.transport.netty4.Netty4Plugin;
import org.elasticsearch.xpack.core.XPackPlugin;
import org.elasticsearch.xpack.kit.SecurityWithoutSaml;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * One Elasticsearch node with security on, for tests only.
 * First argument: its home. Then settings, {@code key=value}; the last one of a key counts.
 * The password of {@code elastic} is in ELASTIC_PASSWORD. With KIT_EPHEMERAL=1 it ends with its stdin and leaves nothing behind.
 */
public final class SecuredNode {

    public static void main(String[] args) throws Exception {
        Path home = Path.of(args[0]).toAbsolutePath();
        Path config = Files.createDirectories(home.resolve("config"));
        boolean ephemeral = "1".equals(System.getenv("KIT_EPHEMERAL"));

        Settings.Builder settings = Settings.builder()
            .put("path.home", home.toString())
            .put("path.data", Files.createDirectories(home.resolve("data")).toString())
            .put("path.logs", home.resolve("logs").toString());
        for (int i = 1; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        KeyStoreWrapper keys = KeyStoreWrapper.create();
        keys.setString("bootstrap.password", System.getenv("ELASTIC_PASSWORD").toCharArray());
        settings.setSecureSettings(keys);

        LogConfigurator.configureESLogging();
        LogConfigurator.configureWithoutConfig(Settings.builder().put("logger.level", "INFO").build());
        Environment env = InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), config, () -> "node1");

        List<Class<? extends Plugin>> plugins = List.of(
            EmailAnalysis.class, RootInfo.class, Netty4Plugin.class, XPackPlugin.class, SecurityWithoutSaml.class
        );
        ClasspathNode node = new ClasspathNode(env, plugins);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> end(node, ephemeral ? home : null)));
        if (ephemeral) {
            Thread watch = new Thread(SecuredNode::untilStdinEnds, "stdin");
            watch.setDaemon(true);
            watch.start();
        }
        node.start();
        int port = node.injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress().getPort();
        System.out.println("node started, http on port " + port);
        Thread.currentThread().join();
    }

    /** Whoever started us holds the other end; however it dies, the pipe closes. */
    private static void untilStdinEnds() {
        try {
            while (System.in.read() != -1) {
                // nothing is said on this pipe
            }
        } catch (IOException broken) {
            // as good as ended
        }
        System.exit(0);
    }

    private static void end(ClasspathNode node, Path remove) {
        try {
            node.close();
            if (remove != null) {
                IOUtils.rm(remove);
            }
        } catch (IOException e) {
            e.printStackTrace();
        }
    }
}
