{{/* What is no secret, as data of a ConfigMap. */}}
{{- define "taskledger.settings" -}}
{{- $made := dict
      "SECRET_KEY_FILE" "/run/secrets/taskledger/secret_key"
      "PAYLOAD_KEYS_FILE" "/run/secrets/taskledger/payload_keys"
      "DATABASE_URL_FILE" "/run/secrets/taskledger/database_url"
      "BROKER_URL_FILE" "/run/secrets/taskledger/broker_url"
      "ARTIFACTS_URL" (.Values.artifacts.url | default "file:///var/lib/taskledger/artifacts")
      "VAR_DIR" "/tmp" -}}
{{- with .Values.broker.queueType }}{{ $made = set $made "QUEUE_TYPE" . }}{{ end -}}
{{- if .Values.broker.verifyWithOwnAuthority }}{{ $made = set $made "BROKER_CA_FILE" "/run/secrets/taskledger/ca.pem" }}{{ end -}}
{{- range $name, $_ := .Values.secrets.settings -}}
{{- $made = set $made (printf "%s_FILE" $name) (printf "/run/secrets/taskledger/%s" (lower $name)) -}}
{{- end -}}
{{- range $name, $value := .Values.settings -}}
{{- if hasKey $.Values.secrets.settings $name -}}
{{- fail (printf "settings.%s and secrets.settings.%s both say what %s is: leave one of them out" $name $name $name) -}}
{{- end -}}
{{- $isWhole := and (kindIs "float64" $value) (eq (toString (floor $value)) (toString $value)) -}}
{{- $made = set $made $name (toString (ternary (int64 $value) $value $isWhole)) -}}
{{- end -}}
{{- toYaml $made -}}
{{- end -}}

{{/* The volume `secrets`: each process sees what it reads. Takes (dict "root" $ "keys" (list "admin_password")). */}}
{{- define "taskledger.secretsVolume" -}}
{{- $elsewhere := .root.Values.secrets.settings -}}
- name: secrets # each process sees what it reads, and no more
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ .root.Values.secrets.name }}
          items:
            {{- range concat (list "secret_key" "payload_keys" "database_url" "broker_url") (.keys | default list) }}
            {{- if not (hasKey $elsewhere (upper .)) }}
            - { key: {{ . }}, path: {{ . }} }
            {{- end }}
            {{- end }}
      - secret: { name: {{ .root.Values.secrets.name }}, optional: true, items: [{ key: ca.pem, path: ca.pem }] }
      {{- range $name, $from := $elsewhere }}
      - secret: { name: {{ $from.name }}, items: [{ key: {{ $from.key }}, path: {{ lower $name }} }] }
      {{- end }}
{{- end -}}
