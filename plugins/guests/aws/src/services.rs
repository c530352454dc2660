//! The services that speak the query or the JSON protocol. Only these: below `amazonaws.com` are also customers' own
//! programs, for which an `Action` may mean anything.

/// One service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// Its name in the host's, without `-fips`.
    pub(crate) name: &'static str,
    /// What stands before the action in `X-Amz-Target`; empty where it does not speak JSON.
    pub(crate) target: &'static str,
    /// Whether it speaks the query protocol.
    pub(crate) query: bool,
    /// Whether it has an endpoint without a region.
    pub(crate) global: bool,
    /// Whether whatever it does is about who may do what.
    pub(crate) admin: bool,
    /// The JSON member or form field that names what is worked on; the first that is there.
    pub(crate) resource: &'static [&'static str],
}

pub(crate) fn named(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

const fn json(name: &'static str, target: &'static str, resource: &'static [&'static str]) -> Service {
    Service { name, target, query: false, global: false, admin: false, resource }
}

const fn query(name: &'static str, resource: &'static [&'static str]) -> Service {
    Service { name, target: "", query: true, global: false, admin: false, resource }
}

impl Service {
    const fn everywhere(self) -> Self {
        Self { global: true, ..self }
    }

    const fn who_may_what(self) -> Self {
        Self { admin: true, ..self }
    }

    const fn and_query(self) -> Self {
        Self { query: true, ..self }
    }
}

static SERVICES: &[Service] = &[
    query("autoscaling", &["AutoScalingGroupName"]),
    query("cloudformation", &["StackName"]),
    query("ec2", &[]),
    query("elasticache", &["CacheClusterId", "ReplicationGroupId"]),
    query("elasticbeanstalk", &["EnvironmentName", "ApplicationName"]),
    query("elasticloadbalancing", &["LoadBalancerArn", "LoadBalancerName"]),
    query("email", &[]),
    query("iam", &[]).everywhere().who_may_what(),
    query("rds", &["DBInstanceIdentifier", "DBClusterIdentifier"]),
    query("redshift", &["ClusterIdentifier"]),
    query("sns", &["TopicArn"]),
    query("sts", &[]).everywhere().who_may_what(),
    json("acm", "CertificateManager", &["CertificateArn"]),
    json("api.ecr", "AmazonEC2ContainerRegistry_V20150921", &["repositoryName"]),
    json("api.sagemaker", "SageMaker", &[]),
    json("application-autoscaling", "AnyScaleFrontendService", &["ResourceId"]),
    json("athena", "AmazonAthena", &["WorkGroup"]),
    json("budgets", "AWSBudgetServiceGateway", &[]).everywhere(),
    json("ce", "AWSInsightsIndexService", &[]),
    json("cloudtrail", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101", &["TrailName", "Name"]),
    json("codebuild", "CodeBuild_20161006", &["projectName"]),
    json("codecommit", "CodeCommit_20150413", &["repositoryName"]),
    json("codedeploy", "CodeDeploy_20141006", &["applicationName"]),
    json("codepipeline", "CodePipeline_20150709", &["pipelineName", "name"]),
    json("cognito-identity", "AWSCognitoIdentityService", &["IdentityPoolId"]).who_may_what(),
    json("cognito-idp", "AWSCognitoIdentityProviderService", &["UserPoolId"]).who_may_what(),
    json("comprehend", "Comprehend_20171127", &[]),
    json("config", "StarlingDoveService", &[]),
    json("dms", "AmazonDMSv20160101", &[]),
    json("ds", "DirectoryService_20150416", &["DirectoryId"]).who_may_what(),
    json("dynamodb", "DynamoDB_20120810", &["TableName"]),
    json("ecs", "AmazonEC2ContainerServiceV20141113", &["cluster"]),
    json("elasticmapreduce", "ElasticMapReduce", &["ClusterId", "JobFlowId"]),
    json("events", "AWSEvents", &[]),
    json("firehose", "Firehose_20150804", &["DeliveryStreamName"]),
    json("glue", "AWSGlue", &["DatabaseName"]),
    json("health", "AWSHealth_20160804", &[]).everywhere(),
    json("kinesis", "Kinesis_20131202", &["StreamName", "StreamARN"]),
    json("kms", "TrentService", &["KeyId"]).who_may_what(),
    json("lightsail", "Lightsail_20161128", &["instanceName"]),
    json("logs", "Logs_20140328", &["logGroupName", "logGroupIdentifier"]),
    json("monitoring", "GraniteServiceVersion20100801", &[]).and_query(),
    json("organizations", "AWSOrganizationsV20161128", &[]).everywhere().who_may_what(),
    json("redshift-data", "RedshiftData", &["ClusterIdentifier", "WorkgroupName"]),
    json("rekognition", "RekognitionService", &[]),
    json("route53resolver", "Route53Resolver", &[]),
    json("secretsmanager", "secretsmanager", &["SecretId", "Name"]),
    json("servicediscovery", "Route53AutoNaming_v20170314", &[]),
    json("servicequotas", "ServiceQuotasV20190624", &["ServiceCode"]),
    json("sqs", "AmazonSQS", &["QueueUrl", "QueueName"]).and_query(),
    json("ssm", "AmazonSSM", &["Name", "DocumentName"]),
    json("states", "AWSStepFunctions", &["stateMachineArn", "executionArn"]),
    json("streams.dynamodb", "DynamoDBStreams_20120810", &["StreamArn", "TableName"]),
    json("support", "AWSSupport_20130415", &[]),
    json("swf", "SimpleWorkflowService", &["domain"]),
    json("tagging", "ResourceGroupsTaggingAPI_20170126", &[]),
    json("textract", "Textract", &[]),
    json("transcribe", "Transcribe", &[]),
    json("translate", "AWSShineFrontendService_20170701", &[]),
    json("wafv2", "AWSWAF_20190729", &[]),
    json("workspaces", "WorkspacesService", &[]),
];
