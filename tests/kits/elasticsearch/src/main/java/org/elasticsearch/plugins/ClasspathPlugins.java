package org.elasticsearch.plugins;

import org.elasticsearch.action.admin.cluster.node.info.PluginsAndModules;
import org.elasticsearch.env.Environment;

import java.lang.reflect.Constructor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;

/**
 * Plugins by class, from the class path; the stock service reads bundles from the folders of a distribution.
 * It stands in this package because the record of a loaded plugin is package-private.
 */
public final class ClasspathPlugins extends PluginsService {

    private final List<LoadedPlugin> loaded;

    public ClasspathPlugins(Environment env, PluginsLoader none, List<Class<? extends Plugin>> classes) {
        super(env.settings(), env.configDir(), none);
        ClassLoader loader = ClasspathPlugins.class.getClassLoader();
        List<LoadedPlugin> made = new ArrayList<>();
        for (Class<? extends Plugin> type : classes) {
            PluginDescriptor about = new PluginDescriptor(
                type.getSimpleName(), "from the class path", "1", "1", "21",
                type.getName(), null, List.of(), false, false, false, false,
                PluginDescriptor.DeploymentTarget.values()[0]
            );
            made.add(new LoadedPlugin(about, loadPlugin(type, env.settings(), env.configDir()), loader));
        }
        loaded = List.copyOf(made);
        for (LoadedPlugin p : loaded) {
            if (p.instance() instanceof ExtensiblePlugin open) {
                open.loadExtensions(new ExtensiblePlugin.ExtensionLoader() {
                    @Override
                    public <T> List<T> loadExtensions(Class<T> point) {
                        return List.of();
                    }
                });
            }
        }
    }

    @Override
    protected List<LoadedPlugin> plugins() {
        // The base constructor asks before our field is set.
        return loaded == null ? List.of() : loaded;
    }

    @Override
    public PluginsAndModules info() {
        return new PluginsAndModules(List.of(), List.of());
    }

    /** All plugins share one class path, so each provider is found once for each of them: keep one. */
    @Override
    public <T> List<? extends T> loadServiceProviders(Class<T> service) {
        Map<Class<?>, T> once = new LinkedHashMap<>();
        ServiceLoader.load(service, getClass().getClassLoader()).stream()
            .forEach(found -> once.computeIfAbsent(found.type(), type -> service.cast(build(type))));
        return List.copyOf(once.values());
    }

    /** With the plugin where a constructor takes one, else without parameters. */
    private Object build(Class<?> type) {
        try {
            for (Constructor<?> c : type.getConstructors()) {
                for (LoadedPlugin p : plugins()) {
                    if (c.getParameterCount() == 1 && c.getParameterTypes()[0].isInstance(p.instance())) {
                        return c.newInstance(p.instance());
                    }
                }
            }
            return type.getConstructor().newInstance();
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("cannot build " + type, e);
        }
    }
}
