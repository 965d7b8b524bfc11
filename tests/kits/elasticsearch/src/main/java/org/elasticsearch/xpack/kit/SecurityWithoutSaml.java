package org.elasticsearch.xpack.kit;

import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.xpack.security.Security;

import java.util.List;

/**
 * The security plugin as it is, without the actions of SAML, whose libraries are not published in a version that fits.
 * The server accepts a REST interceptor only from its own name space, hence the package.
 */
public final class SecurityWithoutSaml extends Security {

    public SecurityWithoutSaml(Settings settings) {
        super(settings);
    }

    @Override
    public List<ActionHandler> getActions() {
        return super.getActions().stream()
            .filter(handler -> handler.getTransportAction().getSimpleName().contains("Saml") == false)
            .toList();
    }
}
