package kit;

import org.elasticsearch.Build;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.action.ActionRequest;
import org.elasticsearch.action.ActionRequestValidationException;
import org.elasticsearch.action.ActionResponse;
import org.elasticsearch.action.ActionType;
import org.elasticsearch.action.support.ActionFilters;
import org.elasticsearch.action.support.TransportAction;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.io.stream.StreamOutput;
import org.elasticsearch.common.util.concurrent.EsExecutors;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.injection.guice.Inject;
import org.elasticsearch.plugins.ActionPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.rest.action.RestBuilderListener;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.tasks.Task;
import org.elasticsearch.transport.TransportService;
import org.elasticsearch.xcontent.XContentBuilder;

import java.util.Collection;
import java.util.List;
import java.util.function.Predicate;
import java.util.function.Supplier;

/**
 * The banner at GET and HEAD /, in short; the real one is in a module that is not published. The action has the real
 * name, so the security plugin decides by its own rules who may see it.
 */
public final class RootInfo extends Plugin implements ActionPlugin {

    private static final ActionType<Info> MAIN = new ActionType<>("cluster:monitor/main");

    @Override
    public Collection<ActionHandler> getActions() {
        return List.of(new ActionHandler(MAIN, Action.class));
    }

    @Override
    public Collection<RestHandler> getRestHandlers(
        RestHandlersServices services,
        Supplier<DiscoveryNodes> nodes,
        Predicate<NodeFeature> features
    ) {
        return List.of(new Root());
    }

    static final class Ask extends ActionRequest {
        @Override
        public ActionRequestValidationException validate() {
            return null;
        }
    }

    static final class Info extends ActionResponse {
        final String node;
        final String cluster;
        final String uuid;

        Info(String node, String cluster, String uuid) {
            this.node = node;
            this.cluster = cluster;
            this.uuid = uuid;
        }

        @Override
        public void writeTo(StreamOutput out) {
            throw new UnsupportedOperationException("answered on this node only");
        }
    }

    public static final class Action extends TransportAction<Ask, Info> {
        private final ClusterService cluster;

        @Inject
        public Action(TransportService transport, ActionFilters filters, ClusterService cluster) {
            super(MAIN.name(), filters, transport.getTaskManager(), EsExecutors.DIRECT_EXECUTOR_SERVICE);
            this.cluster = cluster;
        }

        @Override
        protected void doExecute(Task task, Ask ask, ActionListener<Info> listener) {
            listener.onResponse(
                new Info(cluster.getNodeName(), cluster.getClusterName().value(), cluster.state().metadata().clusterUUID())
            );
        }
    }

    static final class Root extends BaseRestHandler {
        @Override
        public String getName() {
            return "kit_root";
        }

        @Override
        public List<Route> routes() {
            return List.of(new Route(RestRequest.Method.GET, "/"), new Route(RestRequest.Method.HEAD, "/"));
        }

        @Override
        protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
            return channel -> client.execute(MAIN, new Ask(), new RestBuilderListener<Info>(channel) {
                @Override
                public RestResponse buildResponse(Info info, XContentBuilder json) throws Exception {
                    json.startObject();
                    json.field("name", info.node).field("cluster_name", info.cluster).field("cluster_uuid", info.uuid);
                    json.startObject("version").field("number", Build.current().version()).endObject();
                    json.field("tagline", "You Know, for Search");
                    json.endObject();
                    return new RestResponse(RestStatus.OK, json);
                }
            });
        }
    }
}
