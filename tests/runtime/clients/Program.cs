// The C# client beside the real sidecar. Run by test_csharp.py.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using RefactEdge;

internal static class Program
{
    private static int Main(string[] arguments)
    {
        return Run(arguments[0], arguments[1]).GetAwaiter().GetResult();
    }

    private static void Check(bool holds, string what)
    {
        if (!holds) throw new Exception(what);
        Console.WriteLine("ok " + what);
    }

    private static async Task<int> Run(string bundle, string command)
    {
        using (var edge = await Sidecar.StartAsync(bundle, command))
        {
            Check(edge.Info.Model.Variant == "int4", "it says what it is");
            var pieces = new List<string>();
            var greedy = new CompleteParams { Prefix = "x = é", MaxTokens = 16, Temperature = 0, Stop = new List<string>() };
            var whole = await edge.CompleteAsync(greedy);
            Check(whole.Usage.New <= 16 && whole.Text != null, "a completion has a text and counts");
            var streamed = await edge.CompleteAsync(greedy, pieces.Add);
            Check(string.Concat(pieces) == whole.Text && streamed.Text == whole.Text, "pieces are the text");

            var question = new Message { Role = "user", Content = "What is a heap?" };
            var answer = await edge.ChatAsync(new ChatParams
            {
                Messages = new List<Message> { question }, MaxTokens = 8, Temperature = 0,
            });
            Check(answer.Usage.Prompt > 0, "it chats");

            using (var cancel = new CancellationTokenSource())
            {
                var call = edge.CompleteAsync(
                    new CompleteParams { Prefix = "x", MaxTokens = 400, Temperature = 3, Stop = new List<string>() },
                    null, cancel.Token);
                cancel.Cancel();
                Check(new[] { "cancelled", "stop" }.Contains((await call).Finish), "a request is cancelled");
            }

            Check((await edge.WarmAsync(new WarmParams { Prefix = "# a\n# b\n" })).Prompt > 2, "a prompt is warmed");
            Check((await edge.StatsAsync()).Requests >= 4, "requests are counted");
            try
            {
                await edge.CompleteAsync(new CompleteParams { Prefix = "a", MaxTokens = 0 });
                Check(false, "no tokens are refused");
            }
            catch (SidecarException error)
            {
                Check(error.Kind == "OptionError" && error.Message.Contains("expected 1 to"), "no tokens are refused");
            }
            var texts = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => edge.CompleteAsync(greedy)));
            Check(texts.All(one => one.Text == whole.Text), "several are answered at once");
        }
        try
        {
            await Sidecar.StartAsync("/nowhere", command);
            Check(false, "a bundle that is none is told");
        }
        catch (SidecarException error)
        {
            Check(error.Message.Contains("/nowhere"), "a bundle that is none is told");
        }
        return 0;
    }
}
