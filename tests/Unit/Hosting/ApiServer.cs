using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace KStreamSharp.Tests.Hosting;

/// <summary>What a pod sees of the API server of Kubernetes: an HTTPS server, and the folder of its service account.</summary>
internal sealed class ApiServer : IAsyncDisposable
{
    public const string Token = "the-token";

    private readonly WebApplication _web;
    private readonly DirectoryInfo _account = Directory.CreateTempSubdirectory("kstream-account-");

    private ApiServer(WebApplication web, X509Certificate2 authority)
    {
        _web = web;
        File.WriteAllText(Path.Combine(Account, "ca.crt"), authority.ExportCertificatePem());
        File.WriteAllText(Path.Combine(Account, "token"), Token + "\n");
        File.WriteAllText(Path.Combine(Account, "namespace"), "streams");
    }

    public Uri Address => new(_web.Urls.Single());

    public string Account => _account.FullName;

    /// <param name="answer">Answers every request.</param>
    /// <param name="isTrusted">Whether the account's authority is the server's.</param>
    public static async Task<ApiServer> StartAsync(Func<HttpContext, Task> answer, bool isTrusted = true)
    {
        X509Certificate2 certificate = Certificate();
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.UseHttps(certificate)));
        WebApplication web = builder.Build();
        web.Run(context => answer(context));
        await web.StartAsync(Xunit.TestContext.Current.CancellationToken);
        return new(web, isTrusted ? certificate : Certificate());
    }

    public async ValueTask DisposeAsync()
    {
        await _web.DisposeAsync();
        _account.Delete(recursive: true);
    }

    /// <summary>One that is its own authority, for the address that servers of clusters have: a number, and no name.</summary>
    private static X509Certificate2 Certificate()
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new("CN=kubernetes", key, HashAlgorithmName.SHA256);
        SubjectAlternativeNameBuilder names = new();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, pathLengthConstraint: 0, critical: true));
        using X509Certificate2 made = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));

        // Windows serves only with a key that is stored.
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pfx), null);
    }
}
