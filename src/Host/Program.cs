using KStreamSharp.Flows;
using KStreamSharp.Flows.Flights;
using KStreamSharp.Hosting;

return await KStreamHost.RunAsync(args, host => host
    .AddFlow<FlightsFlow>()
    .AddFlow<CopyFlow>()
    .AddFlow<CountFlow>()
    .AddFlow<RekeyCountFlow>()
    .AddSnapshotStore("s3", SnapshotStores.S3)
    .AddSnapshotStore("azblob", SnapshotStores.AzureBlob));
