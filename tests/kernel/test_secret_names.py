"""What names tell of secrets: a table of names that are meant to mislead, in both directions."""

import pytest

from steelyard.kernel.secret_names import Suspicion, is_secret_name, suspicion_of


def _names(text: str) -> list[str]:
    return text.split()


SECRET = _names(
    """
    api_key OPENAI_API_KEY apiKey ApiKey x-api-key X-Api-Key api-key apikey APIKEY API_KEYS
    api_keys.openai anthropicApiKey anthropic_api_key_2 API_KEY_1 api_key_prod api_key_default
    WANDB_API_KEY wandb_key openai_key HF_TOKEN hf_token hfToken huggingface_token
    HUGGING_FACE_HUB_TOKEN github_token GH_TOKEN GITHUB_TOKEN_READ gitlab_token token auth_token
    authToken access_token accessToken refresh_token id_token bearer_token session_token
    csrf_token api_token apitoken access_tokens api_tokens slack_bot_token token_value
    token_secret password PASSWORD Password userPassword user_password dbpassword db_password
    DB_PASSWORD PGPASSWORD MYSQL_PWD pwd passwd user_passwd db_pass DB_PASS smtp_pass dbpass pass
    passphrase key_passphrase ssh_passphrase passcode passwords.0 password_hash client_secret
    clientSecret ClientSecret AWS_SECRET_ACCESS_KEY aws_secret_access_key secret secrets
    app_secret shared_secret jwt_secret JWT jwt webhook_secret secret_key SECRET_KEY
    django_secret_key secretkey secret_value secret_id vault.secret_id totp_secret authorization
    Authorization Proxy-Authorization headers.Authorization http.headers.authorization cookie
    Cookie Set-Cookie cookies session_cookie credentials credential aws_credentials creds db_creds
    cred private_key privateKey PRIVATE_KEY_PEM ssh_private_key ssh_key rsa_key signing_key
    encryption_key master_key storage_key account_key AccountKey license_key service_account_key
    access_key accessKey AWS_ACCESS_KEY session_key hmac_key deploy_key stripe_key sendgrid_key
    pinecone_key mistral_key auth basic_auth proxy_auth auth_header oauth http_auth
    x-functions-key seed_phrase mnemonic otp github_pat gh_pat azure_pat secrets.openai
    credentials.db.main db.credentials.value trainer.logger.api_key model.hub.token
    config.wandb.apikey database.password redis.0.password OPENAI-KEY Ocp-Apim-Subscription-Key
    admin_key bearer openaikey awskeys sshkey HFKEY wandbkey slacktoken githubtoken hftoken
    """
)

HARMLESS = _names(
    """
    cookie_cutter monkeys turkeys
    max_tokens tokenizer key_size author monkey passes n_keys token_count lr_scheduler_key
    maxTokens max_new_tokens num_tokens tokens token_ids token_id eos_token bos_token pad_token
    unk_token mask_token sep_token cls_token eos_token_id pad_token_id image_token special_tokens
    additional_special_tokens stop_token first_token time_to_first_token cost_per_token
    decoder_start_token forced_bos_token_id tokenizer_name tokenizer_path tokenizerType
    tokenization tokenized token_type token_type_ids token_embedding token_dropout token_budget
    token_limit token_rate tokens_per_second max_tokens_per_batch input_tokens output_tokens
    reasoning_tokens n_tokens total_tokens class_token dist_token mask_token_id ignore_token_id
    prompt_token_count vocab_size key keys key_dim keyframe keyboard keypoint keypoints keyword
    keywords primary_key foreign_key sort_key cache_key partition_key public_key metric_key
    dict_key group_key num_key_value_heads n_key_heads key_padding_mask qk_norm query_key_value
    hotkey turkey donkey hockey whiskey authors authority authored co_author author_email
    coauthors authentic pass_rate forward_pass n_passes num_passes compass bypass passenger
    passage passages passthrough pass_at_1 pass@1 multi_pass embedding_pass passive trespass
    bandpass lowpass highpass_filter secretary cookie_cutter_template cookiecutter password_file
    password_length password_policy min_password_length password_min_length n_passwords
    has_password show_password password_reset_url password_field token_file token_path api_key_env
    api_key_file api_key_name api_key_required auth_type auth_method auth_mode auth_url
    auth_provider auth_enabled use_auth requires_auth auth_domain oauth_provider cookie_domain
    cookie_jar cookie_path cookies_file secret_name secret_arn secrets_file secret_manager
    secret_path credentials_file credentials_path credential_provider private_key_path
    ssh_key_file key_file keyfile access_key_id client_id user_id session session_id session_name
    user username login host port database url lr learning_rate seed random_seed batch_size sha
    commit git_commit checksum digest hash model_hash signature_def function_signature pattern
    file_pattern path patience patch_size pat patch dispatch spatial credit credits credit_score
    accredited incredible scared sacred bearing bearings forbearance encryption_key_size
    key_rotation signing_algorithm salt pin_memory pin_cpu spin opinion shipping certainty
    certificate_path concert cert_file authlib_version otpauth_enabled robot robots hidden_size
    access_log accessible n_access success process_group private privacy_budget is_private license
    license_type service_name account account_id subscription subscription_id shared_memory
    master_port master_addr storage_class root_dir session_count webhook_url function_name
    optimizer.lr trainer.max_tokens model.tokenizer.vocab secrets.enabled secrets.path data.keys
    """
)


@pytest.mark.parametrize("name", SECRET)
def test_names_of_secrets_are_told(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", HARMLESS)
def test_names_that_only_look_like_it_are_left_alone(name):
    assert not is_secret_name(name)


def test_the_table_is_long_enough_to_mean_something_and_has_no_name_twice():
    assert len(set(SECRET)) + len(set(HARMLESS)) >= 300
    assert not set(SECRET) & set(HARMLESS)


@pytest.mark.parametrize(
    ("name", "suspicion"),
    [
        ("password", Suspicion.ANY),
        ("api_key", Suspicion.ANY),
        ("hf_token", Suspicion.TEXT),
        ("pass", Suspicion.TEXT),
        ("key", Suspicion.HINT),
        ("signature", Suspicion.HINT),
        ("lr", Suspicion.NONE),
        ("", Suspicion.NONE),
        ("42", Suspicion.NONE),
        ("ключ", Suspicion.NONE),
    ],
)
def test_names_differ_in_how_much_they_say(name, suspicion):
    assert suspicion_of(name) == suspicion
